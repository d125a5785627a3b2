//! The instructions of a pickle, as far as a dictionary of tensors needs them. Format: CPython,
//! `Lib/pickletools.py` (instructions); PyTorch, `torch/serialization.py` and `torch/_utils.py` (what `torch.save` writes).
//!
//! What is built lives in one list and refers to itself by position, so that neither depth nor cycles matter; its size
//! is bounded by the length of the pickle.

use super::super::CheckpointError;
use super::names::{ElementType, Name};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A member of the archive that holds elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// Its name below `data/`.
    pub(super) key: String,
    pub(super) element: ElementType,
}

/// A view into a storage; offset and strides count elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// Something that was built.
#[derive(Clone, Debug)]
enum Node {
    /// None, a truth value, a float, or the `_metadata` of an `OrderedDict`: nothing that is looked at.
    Plain,
    Int(i64),
    Text(String),
    Name(Name),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Storage(Storage),
    Tensor(Tensor),
}

/// Most things that are built: about twenty for each tensor, for fifty thousand tensors.
const MAX_NODES: usize = 1 << 20;
/// Longest name of a storage; `torch.save` numbers them.
const MAX_KEY: usize = 64;

/// Position of a node.
type Id = usize;

/// What can be wrong: an instruction that needs something else, or a name that is not known.
enum Wrong {
    Damaged(&'static str),
    Instruction(u8),
    Forbidden(String),
}

/// Runs a pickle and returns the tensors of the dictionary that it builds.
pub(super) fn tensors(pickle: &[u8], path: &Path) -> Result<Vec<(String, Tensor)>, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
    let mut machine = Machine { rest: pickle, ..Machine::default() };
    let top = machine.run().map_err(|wrong| match wrong {
        Wrong::Damaged(what) => damaged(format!("its pickle {what}")),
        Wrong::Instruction(code) => damaged(format!(
            "its pickle has the instruction 0x{code:02x}, which no dictionary of tensors needs"
        )),
        Wrong::Forbidden(name) => CheckpointError::ForbiddenName { path: path.to_owned(), name },
    })?;
    let Node::Dict(entries) = &machine.nodes[top] else {
        return Err(damaged("its pickle holds no dictionary of tensors; save `model.state_dict()`".into()));
    };
    let mut found = BTreeMap::new();
    for &(key, value) in entries {
        match (&machine.nodes[key], &machine.nodes[value]) {
            (Node::Text(name), Node::Tensor(tensor)) => found.insert(name.as_str(), tensor),
            (Node::Text(name), _) => {
                return Err(damaged(format!("`{name}` is no tensor; save `model.state_dict()` alone")));
            }
            _ => return Err(damaged("its dictionary has a key that is no text".into())),
        };
    }
    Ok(found.into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect())
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Where on the stack the open groups begin.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Wrong::Damaged("is cut off"))?;
        self.rest = rest;
        Ok(head)
    }

    /// An unsigned little-endian number of `len` ≤ 8 bytes.
    fn number(&mut self, len: usize) -> Result<u64, Wrong> {
        Ok(self.take(len)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn line(&mut self) -> Result<&'a str, Wrong> {
        let end = self.rest.iter().position(|&b| b == b'\n').ok_or(Wrong::Damaged("is cut off"))?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| Wrong::Damaged("has a name that is no text"))
    }

    fn text(&mut self, len: u64) -> Result<(), Wrong> {
        let bytes = self.take(usize::try_from(len).map_err(|_| Wrong::Damaged("is cut off"))?)?;
        let text =
            String::from_utf8(bytes.to_vec()).map_err(|_| Wrong::Damaged("has a text that is not UTF-8"))?;
        self.push(Node::Text(text))
    }

    fn push(&mut self, node: Node) -> Result<(), Wrong> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Wrong::Damaged("builds more than any dictionary of tensors needs"));
        }
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
        Ok(())
    }

    /// Takes the top of the stack, not below the group that was opened last.
    fn pop(&mut self) -> Result<Id, Wrong> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Wrong::Damaged("takes more than it has"));
        }
        self.stack.pop().ok_or(Wrong::Damaged("takes more than it has"))
    }

    /// Takes everything since the mark.
    fn group(&mut self) -> Result<Vec<Id>, Wrong> {
        let mark = self.marks.pop().ok_or(Wrong::Damaged("ends a group that was not begun"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Id, Wrong> {
        self.stack.last().copied().ok_or(Wrong::Damaged("takes more than it has"))
    }

    fn remember(&mut self, at: u64) -> Result<(), Wrong> {
        let top = self.top()?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u64) -> Result<(), Wrong> {
        let id = *self.memo.get(&at).ok_or(Wrong::Damaged("recalls what it did not remember"))?;
        self.stack.push(id);
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Result<(), Wrong> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn set(&mut self, items: &[Id]) -> Result<(), Wrong> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(Wrong::Damaged("sets a key without a value"));
        };
        match &mut self.nodes[top] {
            Node::Dict(entries) => entries.extend(pairs.iter().map(|&[k, v]| (k, v))),
            _ => return Err(Wrong::Damaged("sets a key of something that is no dictionary")),
        }
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), Wrong> {
        let known = Name::find(module, name).ok_or_else(|| Wrong::Forbidden(format!("{module}.{name}")))?;
        self.push(Node::Name(known))
    }

    fn run(&mut self) -> Result<Id, Wrong> {
        loop {
            let code = self.take(1)?[0];
            match code {
                0x80 => drop(self.number(1)?), // PROTO
                0x95 => drop(self.number(8)?), // FRAME
                b'.' => return self.pop(),     // STOP
                b'(' => self.marks.push(self.stack.len()),
                b'N' | 0x88 | 0x89 => self.push(Node::Plain)?, // NONE, NEWTRUE, NEWFALSE
                b'G' => {
                    self.take(8)?; // BINFLOAT
                    self.push(Node::Plain)?;
                }
                b'J' => {
                    let n = self.number(4)? as u32;
                    self.push(Node::Int(i64::from(n.cast_signed())))?;
                }
                b'K' => {
                    let n = self.number(1)?;
                    self.push(Node::Int(n.cast_signed()))?;
                }
                b'M' => {
                    let n = self.number(2)?;
                    self.push(Node::Int(n.cast_signed()))?;
                }
                0x8a => {
                    // LONG1, two's complement
                    let len = self.number(1)? as usize;
                    if len > 8 {
                        return Err(Wrong::Damaged("has a number that is too long"));
                    }
                    let n = self.number(len)?;
                    let unused = 64 - 8 * len as u32;
                    self.push(Node::Int(if len == 0 { 0 } else { (n << unused).cast_signed() >> unused }))?;
                }
                b'X' => {
                    let len = self.number(4)?;
                    self.text(len)?;
                }
                0x8c => {
                    let len = self.number(1)?;
                    self.text(len)?;
                }
                b')' => self.push(Node::Tuple(Vec::new()))?,
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let items = self.group()?;
                    self.push(Node::Tuple(items))?;
                }
                b']' => self.push(Node::List)?,
                // Lists occur only in what is not looked at (the module versions of `_metadata`).
                b'a' => drop(self.pop()?),
                b'e' => drop(self.group()?),
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.group()?;
                    self.set(&items)?;
                }
                b'q' => {
                    let at = self.number(1)?;
                    self.remember(at)?;
                }
                b'r' => {
                    let at = self.number(4)?;
                    self.remember(at)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?, // MEMOIZE
                b'h' => {
                    let at = self.number(1)?;
                    self.recall(at)?;
                }
                b'j' => {
                    let at = self.number(4)?;
                    self.recall(at)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(module, name)?;
                }
                0x93 => {
                    // STACK_GLOBAL
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Node::Text(module), Node::Text(name)) = (&self.nodes[module], &self.nodes[name])
                    else {
                        return Err(Wrong::Damaged("has a name that is no text"));
                    };
                    let (module, name) = (module.clone(), name.clone());
                    self.name(&module, &name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(Node::Storage(storage))?;
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let made = self.call(function, arguments)?;
                    self.push(made)?;
                }
                b'b' => {
                    // BUILD sets attributes; an OrderedDict's is `_metadata`, which says nothing about tensors.
                    self.pop()?;
                    if !matches!(self.nodes[self.top()?], Node::Dict(_)) {
                        return Err(Wrong::Damaged("sets attributes of something that is no dictionary"));
                    }
                }
                other => return Err(Wrong::Instruction(other)),
            }
        }
    }

    fn tuple_of(&self, id: Id) -> Result<&[Id], Wrong> {
        match &self.nodes[id] {
            Node::Tuple(items) => Ok(items),
            _ => Err(Wrong::Damaged("calls with something that is no tuple")),
        }
    }

    /// `("storage", class, key, device, elements)`, which `torch.save` puts in place of a storage.
    fn storage(&self, id: Id) -> Result<Storage, Wrong> {
        let wrong = Wrong::Damaged("refers to something that is no storage");
        let [kind, class, key, _, _] = *self.tuple_of(id)? else { return Err(wrong) };
        let (Node::Text(kind), Node::Name(class), Node::Text(key)) =
            (&self.nodes[kind], &self.nodes[class], &self.nodes[key])
        else {
            return Err(wrong);
        };
        let element = match class {
            Name::Element(element) => *element,
            Name::Untyped => ElementType::Other("untyped"),
            _ => return Err(wrong),
        };
        if kind != "storage" || key.len() > MAX_KEY {
            return Err(wrong);
        }
        Ok(Storage { key: key.clone(), element })
    }

    fn call(&self, function: Id, arguments: Id) -> Result<Node, Wrong> {
        let wrong = Wrong::Damaged("rebuilds a tensor from something else");
        let arguments = self.tuple_of(arguments)?;
        match self.nodes[function] {
            Node::Name(Name::OrderedDict) if arguments.is_empty() => Ok(Node::Dict(Vec::new())),
            Node::Name(Name::OrderedDict) => Err(Wrong::Damaged("makes a dictionary from something else")),
            Node::Name(Name::RebuildParameter) => match arguments.first().map(|&t| &self.nodes[t]) {
                Some(Node::Tensor(tensor)) => Ok(Node::Tensor(tensor.clone())),
                _ => Err(wrong),
            },
            Node::Name(name @ (Name::RebuildTensor | Name::RebuildTyped)) => {
                let [storage, offset, shape, stride, ..] = *arguments else { return Err(wrong) };
                let (Node::Storage(storage), Node::Int(offset)) = (&self.nodes[storage], &self.nodes[offset])
                else {
                    return Err(wrong);
                };
                let mut storage = storage.clone();
                if name == Name::RebuildTyped {
                    let Some(&Node::Name(Name::Element(element))) = arguments.get(6).map(|&t| &self.nodes[t])
                    else {
                        return Err(wrong);
                    };
                    storage.element = element;
                }
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                if shape.len() != stride.len() {
                    return Err(wrong);
                }
                let offset = usize::try_from(*offset).map_err(|_| wrong)?;
                Ok(Node::Tensor(Tensor { storage, offset, shape, stride }))
            }
            Node::Name(Name::Element(_) | Name::Untyped) => Err(Wrong::Damaged("calls a class of storages")),
            _ => Err(Wrong::Damaged("calls something that is no function")),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, Wrong> {
        let wrong = || Wrong::Damaged("has a shape that is none");
        let items = self.tuple_of(id)?;
        if items.len() > 8 {
            return Err(wrong());
        }
        items
            .iter()
            .map(|&n| match self.nodes[n] {
                Node::Int(n) => usize::try_from(n).map_err(|_| wrong()),
                _ => Err(wrong()),
            })
            .collect()
    }
}
