#include "worker/nn/instance_norm_cpu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "worker/kernels/parallel.h"

namespace atelier::nn {
namespace {

// The inner loops also as AVX2 code, chosen when the program starts. Without FMA, so that both give
// the same bits. Not under the sanitizers, which are not ready yet when the choice is made.
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define ATELIER_WIDE __attribute__((target_clones("default", "avx2")))
#else
#define ATELIER_WIDE
#endif

// The pixels of a picture are cut into slabs of this many, whatever the batch and the thread count;
// each slab is summed in runs of kRun pixels in fp32, and the runs in double. So sums are exact
// enough for 4096 x 4096 pixels and always in the same order.
constexpr std::int64_t kSlab = 1024;
constexpr std::int64_t kRun = 64;

struct Extent {
  std::int64_t pictures;
  std::int64_t pixels;
  std::int64_t channels;
  std::int64_t slabs;

  explicit Extent(const at::Tensor& x)
      : pictures(x.size(0)),
        pixels(x.size(2) * x.size(3)),
        channels(x.size(1)),
        slabs((pixels + kSlab - 1) / kSlab) {}
};

inline float Load(const float* from, std::int64_t i) { return from[i]; }
inline float Load(const c10::BFloat16* from, std::int64_t i) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(from[i].x) << 16);
}

inline void Store(float* to, std::int64_t i, float value) { to[i] = value; }
// To nearest, halves to even; without branches, so that it becomes vector code.
inline void Store(c10::BFloat16* to, std::int64_t i, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to[i].x = static_cast<std::uint16_t>(value == value ? rounded : 0x7fc0u);
}

// Calls work(picture, slab, first pixel, last pixel) for all slabs, spread over the threads.
template <typename Work>
void ForEachSlab(const Extent& extent, const Work& work) {
  kernels::ParallelFor(
      extent.pictures * extent.slabs, 1, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          const std::int64_t slab = i % extent.slabs;
          work(i / extent.slabs, slab, slab * kSlab, std::min((slab + 1) * kSlab, extent.pixels));
        }
      });
}

// Two sums a channel of every slab, then of every picture.
class PairSums {
 public:
  explicit PairSums(const Extent& extent)
      : extent_(extent),
        sums_(static_cast<std::size_t>(2 * extent.channels * extent.slabs * extent.pictures)) {}

  // sum_run(first, last, a, b) adds the pixels [first, last) to the floats a[C] and b[C].
  template <typename SumRun>
  void AddSlab(std::int64_t picture, std::int64_t slab, std::int64_t first, std::int64_t last,
               const SumRun& sum_run) {
    const std::int64_t channels = extent_.channels;
    double* total = sums_.data() + (picture * extent_.slabs + slab) * 2 * channels;
    std::vector<float> run(static_cast<std::size_t>(2 * channels));
    for (std::int64_t begin = first; begin < last; begin += kRun) {
      std::fill(run.begin(), run.end(), 0.0F);
      sum_run(begin, std::min(begin + kRun, last), run.data(), run.data() + channels);
      for (std::int64_t c = 0; c < 2 * channels; ++c) {
        total[c] += static_cast<double>(run[static_cast<std::size_t>(c)]);
      }
    }
  }

  // The sums of a picture: 2 * C values.
  std::vector<double> OfPicture(std::int64_t picture) const {
    const std::int64_t width = 2 * extent_.channels;
    std::vector<double> total(static_cast<std::size_t>(width));
    for (std::int64_t slab = 0; slab < extent_.slabs; ++slab) {
      const double* from = sums_.data() + (picture * extent_.slabs + slab) * width;
      for (std::int64_t c = 0; c < width; ++c) {
        total[static_cast<std::size_t>(c)] += from[c];
      }
    }
    return total;
  }

 private:
  const Extent& extent_;
  std::vector<double> sums_;
};

// Sums of x - pivot and of its square; the pivot is the picture's first pixel, so that a large mean
// costs no precision.
template <typename T>
ATELIER_WIDE void SumMoments(const T* x, const float* pivot, std::int64_t first, std::int64_t last,
                             std::int64_t channels, float* __restrict sum,
                             float* __restrict square) {
  for (std::int64_t pixel = first; pixel < last; ++pixel) {
    const T* row = x + pixel * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      const float value = Load(row, c) - pivot[c];
      sum[c] += value;
      square[c] += value * value;
    }
  }
}

template <typename T>
NormStatistics Statistics(const at::Tensor& x, double eps) {
  const Extent extent(x);
  const std::int64_t channels = extent.channels;
  const T* in = x.const_data_ptr<T>();
  NormStatistics statistics = {at::empty({extent.pictures, channels}, at::kFloat),
                               at::empty({extent.pictures, channels}, at::kFloat)};
  // The pivots first, in place of the means.
  float* mean = statistics.mean.mutable_data_ptr<float>();
  float* inverse = statistics.inverse_deviation.mutable_data_ptr<float>();
  for (std::int64_t picture = 0; picture < extent.pictures; ++picture) {
    for (std::int64_t c = 0; c < channels; ++c) {
      mean[picture * channels + c] = Load(in, picture * extent.pixels * channels + c);
    }
  }
  PairSums sums(extent);
  ForEachSlab(
      extent, [&](std::int64_t picture, std::int64_t slab, std::int64_t first, std::int64_t last) {
        const T* from = in + picture * extent.pixels * channels;
        sums.AddSlab(picture, slab, first, last,
                     [&](std::int64_t begin, std::int64_t end, float* a, float* b) {
                       SumMoments(from, mean + picture * channels, begin, end, channels, a, b);
                     });
      });
  const auto count = static_cast<double>(extent.pixels);
  for (std::int64_t picture = 0; picture < extent.pictures; ++picture) {
    const std::vector<double> total = sums.OfPicture(picture);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double offset = total[static_cast<std::size_t>(c)] / count;
      const double variance =
          std::max(total[static_cast<std::size_t>(c + channels)] / count - offset * offset, 0.0);
      mean[picture * channels + c] += static_cast<float>(offset);
      inverse[picture * channels + c] = static_cast<float>(1.0 / std::sqrt(variance + eps));
    }
  }
  return statistics;
}

template <typename T>
ATELIER_WIDE void ScaleAndShift(const T* __restrict x, T* __restrict y,
                                const float* __restrict scale, const float* __restrict shift,
                                std::int64_t pixels, std::int64_t channels) {
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (std::int64_t c = 0; c < channels; ++c) {
      Store(y, pixel * channels + c, Load(x, pixel * channels + c) * scale[c] + shift[c]);
    }
  }
}

template <typename T>
void Normalize(const at::Tensor& x, at::Tensor& y, const at::Tensor& scale,
               const at::Tensor& shift) {
  const Extent extent(x);
  const T* in = x.const_data_ptr<T>();
  T* out = y.mutable_data_ptr<T>();
  const float* scales = scale.const_data_ptr<float>();
  const float* shifts = shift.const_data_ptr<float>();
  ForEachSlab(extent,
              [&](std::int64_t picture, std::int64_t, std::int64_t first, std::int64_t last) {
                const std::int64_t start = (picture * extent.pixels + first) * extent.channels;
                const std::int64_t row = picture * extent.channels;
                ScaleAndShift(in + start, out + start, scales + row, shifts + row, last - first,
                              extent.channels);
              });
}

// Sums of the gradient and of the gradient times the normalised x.
template <typename T>
ATELIER_WIDE void SumGradients(const T* gradient, const T* x, const float* mean,
                               const float* inverse, std::int64_t first, std::int64_t last,
                               std::int64_t channels, float* __restrict sum,
                               float* __restrict product) {
  for (std::int64_t pixel = first; pixel < last; ++pixel) {
    const T* row = x + pixel * channels;
    const T* gradient_row = gradient + pixel * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      const float value = Load(gradient_row, c);
      sum[c] += value;
      product[c] += value * ((Load(row, c) - mean[c]) * inverse[c]);
    }
  }
}

// dx = gradient * a + x * b + c, with factors a channel.
template <typename T>
ATELIER_WIDE void CombineGradients(const T* __restrict gradient, const T* __restrict x,
                                   T* __restrict out, const float* __restrict a,
                                   const float* __restrict b, const float* __restrict c,
                                   std::int64_t pixels, std::int64_t channels) {
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (std::int64_t i = 0; i < channels; ++i) {
      const std::int64_t at = pixel * channels + i;
      Store(out, at, Load(gradient, at) * a[i] + Load(x, at) * b[i] + c[i]);
    }
  }
}

template <typename T>
NormGradients Backward(const at::Tensor& gradient, const at::Tensor& x,
                       const NormStatistics& statistics, const at::Tensor& weight) {
  const Extent extent(x);
  const std::int64_t channels = extent.channels;
  const T* dy = gradient.const_data_ptr<T>();
  const T* in = x.const_data_ptr<T>();
  const float* mean = statistics.mean.const_data_ptr<float>();
  const float* inverse = statistics.inverse_deviation.const_data_ptr<float>();
  PairSums sums(extent);
  ForEachSlab(extent,
              [&](std::int64_t picture, std::int64_t slab, std::int64_t first, std::int64_t last) {
                const std::int64_t start = picture * extent.pixels * channels;
                const std::int64_t row = picture * channels;
                sums.AddSlab(picture, slab, first, last,
                             [&](std::int64_t begin, std::int64_t end, float* a, float* b) {
                               SumGradients(dy + start, in + start, mean + row, inverse + row,
                                            begin, end, channels, a, b);
                             });
              });

  NormGradients gradients = {at::empty_like(x), at::zeros({channels}, at::kFloat),
                             at::zeros({channels}, at::kFloat)};
  float* dweight = gradients.weight.mutable_data_ptr<float>();
  float* dbias = gradients.bias.mutable_data_ptr<float>();
  const float* weights = weight.const_data_ptr<float>();
  // With g = weight * inverse, m = mean over the picture and n = (x - mean) * inverse: dx = g * (dy
  // - m(dy) - n * m(dy * n)).
  std::vector<float> factors(static_cast<std::size_t>(3 * extent.pictures * channels));
  for (std::int64_t picture = 0; picture < extent.pictures; ++picture) {
    const std::vector<double> total = sums.OfPicture(picture);
    float* row = factors.data() + picture * 3 * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      const double sum = total[static_cast<std::size_t>(c)];
      const double product = total[static_cast<std::size_t>(c + channels)];
      const double deviation = inverse[picture * channels + c];
      const double g = weights[c] * deviation;
      const double slope = -g * deviation * product / static_cast<double>(extent.pixels);
      row[c] = static_cast<float>(g);
      row[c + channels] = static_cast<float>(slope);
      row[c + 2 * channels] = static_cast<float>(-g * sum / static_cast<double>(extent.pixels) -
                                                 slope * mean[picture * channels + c]);
      dweight[c] += static_cast<float>(product);
      dbias[c] += static_cast<float>(sum);
    }
  }
  T* dx = gradients.x.mutable_data_ptr<T>();
  ForEachSlab(extent,
              [&](std::int64_t picture, std::int64_t, std::int64_t first, std::int64_t last) {
                const std::int64_t start = (picture * extent.pixels + first) * channels;
                const float* row = factors.data() + picture * 3 * channels;
                CombineGradients(dy + start, in + start, dx + start, row, row + channels,
                                 row + 2 * channels, last - first, channels);
              });
  return gradients;
}

}  // namespace

NormStatistics ComputeStatisticsCpu(const at::Tensor& x, double eps) {
  return x.scalar_type() == at::kFloat ? Statistics<float>(x, eps)
                                       : Statistics<c10::BFloat16>(x, eps);
}

at::Tensor NormalizeCpu(const at::Tensor& x, const NormStatistics& statistics,
                        const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor scale = statistics.inverse_deviation.mul(weight).contiguous();
  const at::Tensor shift = bias.sub(statistics.mean.mul(scale)).contiguous();
  at::Tensor y = at::empty_like(x);
  if (x.scalar_type() == at::kFloat) {
    Normalize<float>(x, y, scale, shift);
  } else {
    Normalize<c10::BFloat16>(x, y, scale, shift);
  }
  return y;
}

NormGradients NormalizeBackwardCpu(const at::Tensor& gradient, const at::Tensor& x,
                                   const NormStatistics& statistics, const at::Tensor& weight) {
  return x.scalar_type() == at::kFloat ? Backward<float>(gradient, x, statistics, weight)
                                       : Backward<c10::BFloat16>(gradient, x, statistics, weight);
}

}  // namespace atelier::nn
