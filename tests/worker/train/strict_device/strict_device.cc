#include "tests/worker/train/strict_device/strict_device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/detail/HPUHooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>
#include <torch/torch.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <tuple>

namespace atelier::train {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::HPU;

class Memory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* data = c10::alloc_cpu(bytes);
    return {data, data, &c10::free_cpu, StrictDevice()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device /*device*/) const override { return StrictDevice(); }
  c10::Device getDevice() const override { return StrictDevice(); }
  void setDevice(c10::Device /*device*/) const override {}
  void uncheckedSetDevice(c10::Device /*device*/) const noexcept override {}
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  // Everything is done when a call returns, so there is nothing to wait for.
  void record(void** /*event*/, const c10::Stream& /*stream*/, c10::DeviceIndex /*device*/,
              c10::EventFlag /*flag*/) const override {}
  void block(void* /*event*/, const c10::Stream& /*stream*/) const override {}
  bool queryEvent(void* /*event*/) const override { return true; }
  void destroyEvent(void* /*event*/, c10::DeviceIndex /*device*/) const noexcept override {}
};

// Backward passes ask whether the device is there.
struct Hooks final : at::HPUHooksInterface {
  explicit Hooks(at::HPUHooksArgs /*arguments*/) {}
  bool hasHPU() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex /*device*/) const override { return true; }
  void init() const override {}
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  // What torch::manual_seed seeds; nothing is drawn on the device.
  const at::Generator& getDefaultGenerator(c10::DeviceIndex /*device*/) const override {
    static const at::Generator generator = at::detail::createCPUGenerator();
    return generator;
  }
};

C10_REGISTER_GUARD_IMPL(HPU, Guard)

}  // namespace
}  // namespace atelier::train

// Under the name that LibTorch looks for.
namespace at {
C10_REGISTER_CLASS(HPUHooksRegistry, HPUHooks, atelier::train::Hooks)
}  // namespace at

namespace atelier::train {
namespace {

c10::Allocator* TheMemory() {
  static Memory memory;
  return &memory;
}

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::HPU);

at::Tensor Empty(c10::IntArrayRef size, std::optional<c10::ScalarType> type,
                 std::optional<c10::Layout> /*layout*/, std::optional<c10::Device> /*device*/,
                 std::optional<bool> /*pinned*/, std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, TheMemory(), kKeys, c10::dtype_or_default(type), format);
}

at::Tensor EmptyStrided(c10::IntArrayRef size, c10::IntArrayRef stride,
                        std::optional<c10::ScalarType> type, std::optional<c10::Layout> /*layout*/,
                        std::optional<c10::Device> /*device*/, std::optional<bool> /*pinned*/) {
  return at::detail::empty_strided_generic(size, stride, TheMemory(), kKeys,
                                           c10::dtype_or_default(type));
}

// The same memory as a tensor of the CPU.
at::Tensor OnCpu(const at::Tensor& tensor) {
  return tensor.is_cpu() ? tensor
                         : at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                                         tensor.options().device(c10::kCPU));
}

at::Tensor CopyFrom(const at::Tensor& from, const at::Tensor& to, bool /*non_blocking*/) {
  OnCpu(to).copy_(OnCpu(from));
  return to;
}

const at::Tensor& Resize(const at::Tensor& tensor, c10::IntArrayRef size,
                         std::optional<c10::MemoryFormat> format) {
  const at::Tensor fresh = Empty(size, tensor.scalar_type(), {}, {}, {}, format);
  tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(fresh.storage());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(fresh.sizes(), fresh.strides());
  return tensor;
}

at::Tensor CopyFromAndResize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) {
    Resize(to, from.sizes(), {});
  }
  return CopyFrom(from, to, false);
}

at::Scalar Number(const at::Tensor& tensor) { return OnCpu(tensor).item(); }

at::Tensor Strided(const at::Tensor& tensor, c10::IntArrayRef size, c10::IntArrayRef stride,
                   std::optional<std::int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, size, stride, offset);
}

void CheckDevice(const at::Tensor& tensor, const std::string& operation) {
  TORCH_CHECK(!tensor.defined() || tensor.dim() == 0 || tensor.device().type() == kType, operation,
              " got a tensor of ", tensor.device(), " and one of ", StrictDevice());
}

at::Tensor Convolution(const at::Tensor& x, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, c10::IntArrayRef stride,
                       c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed,
                       c10::IntArrayRef output_padding, std::int64_t groups) {
  std::optional<at::Tensor> bias_on_cpu;
  if (bias.has_value() && bias->defined()) {
    CheckDevice(*bias, "convolution");
    bias_on_cpu = OnCpu(*bias);
  }
  CheckDevice(x, "convolution");
  CheckDevice(weight, "convolution");
  return at::convolution(OnCpu(x), OnCpu(weight), bias_on_cpu, stride, padding, dilation,
                         transposed, output_padding, groups)
      .to(StrictDevice());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ConvolutionBackward(
    const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
    c10::IntArrayRef stride, c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed,
    c10::IntArrayRef output_padding, std::int64_t groups, std::array<bool, 3> wanted) {
  for (const at::Tensor* tensor : {&gradient, &x, &weight}) {
    CheckDevice(*tensor, "convolution_backward");
  }
  const std::array<std::int64_t, 1> biases = {transposed ? weight.size(1) * groups
                                                         : weight.size(0)};
  auto [of_x, of_weight, of_bias] = at::convolution_backward(
      OnCpu(gradient), OnCpu(x), OnCpu(weight), c10::IntArrayRef(biases), stride, padding, dilation,
      transposed, output_padding, groups, wanted);
  const auto moved = [](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.to(StrictDevice()) : tensor;
  };
  return {moved(of_x), moved(of_weight), moved(of_bias)};
}

void CheckDevices(const c10::IValue& argument, const std::string& operation) {
  if (argument.isTensor()) {
    CheckDevice(argument.toTensor(), operation);
  } else if (argument.isList()) {
    for (const c10::IValue& element : argument.toListRef()) {
      CheckDevices(element, operation);
    }
  }
}

void OnTheCpu(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const std::size_t arguments = operation.schema().arguments().size();
  for (const c10::IValue& argument : torch::jit::last(*stack, arguments)) {
    CheckDevices(argument, operation.schema().name());
  }
  at::native::cpu_fallback(operation, stack);
}

TORCH_LIBRARY_IMPL(aten, HPU, library) {
  library.impl("empty.memory_format", Empty);
  library.impl("empty_strided", EmptyStrided);
  library.impl("_copy_from", CopyFrom);
  library.impl("_copy_from_and_resize", CopyFromAndResize);
  library.impl("resize_", Resize);
  library.impl("_local_scalar_dense", Number);
  library.impl("as_strided", Strided);
  library.impl("view", at::native::view);
  library.impl("_reshape_alias", at::native::_reshape_alias);
  library.impl("convolution_overrideable", Convolution);
  library.impl("convolution_backward_overrideable", ConvolutionBackward);
}

TORCH_LIBRARY_IMPL(_, HPU, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&OnTheCpu>());
}

}  // namespace

torch::Device StrictDevice() { return {kType, 0}; }

}  // namespace atelier::train
