#include "worker/kernels/pixels.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "worker/kernels/parallel.h"
#include "worker/kernels/pixels_reference.h"

namespace atelier::kernels {
namespace {

// Every level, in a batch of pictures of odd size.
at::Tensor AllLevels() {
  return at::arange(2 * 5 * 3 * 17 * 3, at::kLong)
      .remainder(256)
      .to(at::kByte)
      .view({2, 15, 17, 3});
}

// All halves between two levels, all levels, and values beyond both ends.
at::Tensor HalfLevels() {
  const at::Tensor levels = at::arange(-40, 560, at::kFloat).div_(2);
  return levels.div_(127.5).sub_(1).view({1, 3, 10, 20});
}

TEST(PixelsToTensor, EqualsTheReferenceBitForBit) {
  const at::Tensor pixels = AllLevels();
  const at::Tensor tensor = PixelsToTensor(pixels);
  EXPECT_TRUE(tensor.equal(PixelsToTensorReference(pixels)));
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 3, 15, 17}));
  EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  EXPECT_TRUE(tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(PixelsToTensor, MapsTheEndsOfTheScaleToOne) {
  EXPECT_EQ(PixelsToTensor(at::full({1, 2, 2, 3}, 0, at::kByte)).max().item<float>(), -1);
  EXPECT_EQ(PixelsToTensor(at::full({1, 2, 2, 3}, 255, at::kByte)).min().item<float>(), 1);
}

TEST(PixelsToTensor, TakesPicturesThatAreNotContiguous) {
  const at::Tensor turned = AllLevels().transpose(1, 2);
  EXPECT_TRUE(PixelsToTensor(turned).equal(PixelsToTensorReference(turned)));
}

TEST(TensorToPixels, GivesBackEveryLevel) {
  const at::Tensor pixels = AllLevels();
  EXPECT_TRUE(TensorToPixels(PixelsToTensor(pixels)).equal(pixels));
}

TEST(TensorToPixels, EqualsTheReferenceInBothNumberFormatsAndMemoryLayouts) {
  const at::Tensor noise = at::randn({2, 3, 33, 41}, at::make_generator<at::CPUGeneratorImpl>(5));
  for (const at::Tensor& tensor : {noise, HalfLevels()}) {
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      for (const auto layout : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
        const at::Tensor in = tensor.to(type).contiguous(layout);
        const at::Tensor pixels = TensorToPixels(in);
        EXPECT_TRUE(pixels.equal(TensorToPixelsReference(in)));
        EXPECT_EQ(pixels.scalar_type(), at::kByte);
        EXPECT_TRUE(pixels.is_contiguous());
        EXPECT_EQ(pixels.size(3), 3);
      }
    }
  }
}

TEST(TensorToPixels, ClampsWhatLiesOutsideAndTurnsNanIntoZero) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {-1.5F, 1.5F, -infinity, infinity, std::nanf(""), 1e30F};
  const at::Tensor tensor = at::tensor(values).view({1, 3, 1, 2});
  const at::Tensor expected =
      at::tensor(std::vector<int>{0, 255, 0, 255, 0, 255}).to(at::kByte).view({1, 3, 1, 2});
  EXPECT_TRUE(TensorToPixels(tensor).permute({0, 3, 1, 2}).equal(expected));
  EXPECT_TRUE(TensorToPixelsReference(tensor).permute({0, 3, 1, 2}).equal(expected));
}

TEST(TensorToPixels, DoesNotDependOnTheNumberOfThreads) {
  const at::Tensor pixels = at::randint(256, {1, 700, 333, 3}, at::kByte);
  at::set_num_threads(1);
  const at::Tensor one = PixelsToTensor(pixels);
  at::set_num_threads(2);
  const at::Tensor two = PixelsToTensor(pixels);
  EXPECT_TRUE(one.equal(two));
  EXPECT_TRUE(TensorToPixels(two).equal(pixels));
}

// at::parallel_for is serial, silently, where OpenMP is off.
TEST(ParallelFor, UsesTwoThreads) {
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<std::int64_t> done = 0;
  ParallelFor(1000, 10, [&](std::int64_t first, std::int64_t last) {
    done += last - first;
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(done, 1000);
  EXPECT_EQ(threads.size(), std::size_t{2});
}

TEST(ParallelFor, KeepsSmallWorkOnTheCallersThread) {
  at::set_num_threads(2);
  std::thread::id thread;
  ParallelFor(10, 10, [&](std::int64_t, std::int64_t) { thread = std::this_thread::get_id(); });
  EXPECT_EQ(thread, std::this_thread::get_id());
}

TEST(PixelsOnCuda, EqualTheReference) {
  if (!at::globalContext().hasCUDA()) {
    GTEST_SKIP() << "LibTorch has no CUDA device here (libtorch_cuda is not linked, or no GPU)";
  }
  const at::Tensor pixels = AllLevels();
  EXPECT_TRUE(PixelsToTensor(pixels.to(at::kCUDA)).cpu().equal(PixelsToTensorReference(pixels)));
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor tensor = HalfLevels().to(type);
    EXPECT_TRUE(TensorToPixels(tensor.to(at::kCUDA)).cpu().equal(TensorToPixelsReference(tensor)));
  }
}

}  // namespace
}  // namespace atelier::kernels
