//! Where a model runs. Devices are opened here and nowhere else.
#![cfg_attr(
    feature = "cuda",
    expect(unsafe_code, reason = "two settings of the CUDA driver that candle leaves to its callers")
)]

use super::error::EngineError;
use candle_core::DType;
use std::fmt;
use std::str::FromStr;

/// Where a model is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// On the first GPU, if this program was built for GPUs and finds one; else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On the NVIDIA GPU with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "auto, cpu, cuda or cuda:N with the number of a GPU is needed".to_owned()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl DeviceChoice {
    /// The number of the GPU that is meant; none for the CPU.
    ///
    /// Fails if a GPU is named and this program was not built for one. Whether the GPU is there, [`Device::gpu`] says.
    pub fn gpu(self) -> Result<Option<usize>, EngineError> {
        match self {
            Self::Cpu => Ok(None),
            Self::Auto => Ok((gpus() > 0).then_some(0)),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(EngineError::NotBuiltForGpus),
            Self::Cuda(number) => Ok(Some(number)),
        }
    }
}

/// A device that runs models as candle's tensors, opened.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) inner: candle_core::Device,
    /// Of weights, activations, keys and values.
    pub(super) dtype: DType,
}

impl Device {
    /// The NVIDIA GPU with this number, in bfloat16.
    pub fn gpu(number: usize) -> Result<Self, EngineError> {
        if !cfg!(feature = "cuda") {
            return Err(EngineError::NotBuiltForGpus);
        }
        let inner = open(number).map_err(|e| EngineError::NoGpu { number, reason: e.to_string() })?;
        Ok(Self { inner, dtype: DType::BF16 })
    }

    /// The path that models take on a GPU, on the CPU in f32: for tests of it. [`super::Engine::load`] is several times faster.
    pub fn host() -> Self {
        Self { inner: candle_core::Device::Cpu, dtype: DType::F32 }
    }

    /// Bytes of its memory that nobody uses; none where that is not known.
    pub(super) fn free_memory(&self) -> Result<Option<u64>, EngineError> {
        free_memory(&self.inner).map_err(EngineError::Device)
    }
}

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::cudarc::driver::{CudaContext, result, sys};

/// How many GPUs there are; none without a driver.
#[cfg(feature = "cuda")]
fn gpus() -> usize {
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> usize {
    0
}

/// A GPU with one stream for all threads, ready for many small steps.
#[cfg(feature = "cuda")]
fn open(number: usize) -> candle_core::Result<candle_core::Device> {
    let device = candle_core::Device::new_cuda_with_stream(number)?;
    let cuda = device.as_cuda_device()?;
    let context = cuda.cuda_stream().context().clone();
    // Without this every tensor makes and destroys two events, which takes longer than a small kernel.
    // SAFETY: tensors of this device are used on its one stream alone, which orders all uses and the end of each tensor.
    unsafe { cuda.disable_event_tracking() };
    // What is freed stays with this process; by default the driver takes it back whenever the stream is waited for.
    let mut pool = std::ptr::null_mut();
    let mut all = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the first call writes the device's own pool, which lives as long as the device, to a pointer of its type; the
    // second reads a `cuuint64_t`, which this attribute is (CUDA Driver API, cuMemPoolSetAttribute).
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device())
            .result()
            .and_then(|()| result::mem_pool::set_attribute(pool, attribute, (&raw mut all).cast()))
            .map_err(candle_core::Error::wrap)?;
    }
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn open(number: usize) -> candle_core::Result<candle_core::Device> {
    candle_core::Device::new_cuda_with_stream(number)
}

#[cfg(feature = "cuda")]
fn free_memory(device: &candle_core::Device) -> candle_core::Result<Option<u64>> {
    if !device.is_cuda() {
        return Ok(None);
    }
    let stream = device.as_cuda_device()?.cuda_stream();
    let context = stream.context();
    let driver = |e: result::DriverError| candle_core::Error::wrap(e);
    // What an earlier model left to this process counts as free once it is given back.
    context.synchronize().map_err(driver)?;
    let mut pool = std::ptr::null_mut();
    // SAFETY: as in `open`; nothing waits for the pool's memory after the line above.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device())
            .result()
            .and_then(|()| result::mem_pool::trim_to(pool, 0))
            .map_err(driver)?;
    }
    let (free, _) = context.mem_get_info().map_err(driver)?;
    Ok(Some(free as u64))
}

#[cfg(not(feature = "cuda"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature `cuda` it can fail")]
fn free_memory(_: &candle_core::Device) -> candle_core::Result<Option<u64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_program_that_was_not_built_for_gpus_says_how_to_build_one() {
        assert_eq!(DeviceChoice::Auto.gpu().unwrap(), None);
        assert_eq!(DeviceChoice::Cpu.gpu().unwrap(), None);
        for error in [DeviceChoice::Cuda(0).gpu().unwrap_err(), Device::gpu(0).unwrap_err()] {
            assert!(error.to_string().contains("scripts/cuda/build.sh"), "{error}");
        }
    }
}
