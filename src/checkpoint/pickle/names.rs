//! The names that a pickle may use: all that a dictionary of tensors needs, and nothing that does anything else.

use crate::dtype::DType;

/// How the elements of a storage are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    /// As weights are.
    Weight(DType),
    /// As something else, by PyTorch's name.
    Other(&'static str),
}

/// The only names that a pickle may call or use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildTyped,
    RebuildParameter,
    /// A class of storages that knows its element type, or a `torch.dtype`.
    Element(ElementType),
    /// A storage without an element type.
    Untyped,
}

impl Name {
    /// The name that `module.name` is, if it is one of them.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        use ElementType::{Other, Weight};
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTyped,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch.storage", "UntypedStorage") => Self::Untyped,
            ("torch", name) => Self::Element(match name {
                "FloatStorage" | "float32" => Weight(DType::F32),
                "HalfStorage" | "float16" => Weight(DType::F16),
                "BFloat16Storage" | "bfloat16" => Weight(DType::Bf16),
                "DoubleStorage" => Other("float64"),
                "LongStorage" => Other("int64"),
                "IntStorage" => Other("int32"),
                "ShortStorage" => Other("int16"),
                "CharStorage" => Other("int8"),
                "ByteStorage" => Other("uint8"),
                "BoolStorage" => Other("bool"),
                "uint16" => Other("uint16"),
                "uint32" => Other("uint32"),
                "uint64" => Other("uint64"),
                "float8_e4m3fn" => Other("float8_e4m3fn"),
                "float8_e5m2" => Other("float8_e5m2"),
                _ => return None,
            }),
            _ => return None,
        })
    }
}
