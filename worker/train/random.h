// Randomness without state: every draw of a training run is a function of (seed, step, sample
// index, purpose). Prefetching, resuming and the number of ranks therefore change nothing, and a
// checkpoint holds no generator state.
#pragma once

#include <cstdint>
#include <vector>

namespace atelier::train {

// What a draw is for; the numbers are part of the checkpoint format and never change.
enum class Purpose : std::uint64_t {
  kShuffle = 1,
  kContentCrop = 2,
  kStyle = 3,
  kInit = 4,
  kSamples = 5,
  kAugment = 6,       // of the data
  kPool = 7,          // which earlier picture the discriminator sees
  kPenalty = 8,       // where between real and fake the gradient penalty looks
  kPatches = 9,       // PatchNCE's places
  kLatent = 10,       // noise of a generator or of a variational code
  kDiffAugment = 11,  // of what the discriminator sees
  kResample = 12,     // which picture of the data
  kDropout = 13,
  kLabel = 16,        // which style a picture is taught
  kEvaluation = 20,   // which pictures are measured
  kHeldOut = 21,      // which pictures are not learnt from
  kCaption = 24,      // which words of a caption are told
  kReplacement = 25,  // which picture takes the place of one that can no longer be read
};

// A stream of numbers for one key: SplitMix64 (Steele, Lea and Flood 2014) started at a hash of the
// key.
class KeyedRandom {
 public:
  KeyedRandom(std::uint64_t seed, std::int64_t step, std::int64_t sample, Purpose purpose);

  std::uint64_t Next();
  // Uniform in [0, 1).
  double Uniform();
  // Uniform in [0, n), n >= 1.
  std::int64_t Below(std::int64_t n);

 private:
  std::uint64_t state_;
};

// Which samples the pictures of a batch are of: picture i of sample At(i % count), for the
// (i / count)-th time.
struct SampleRange {
  std::int64_t first = 0;  // since the beginning of training
  std::int64_t count = 1;
  // On one of several ranks, `block` samples of every `stride`, beginning with `first`: its part of
  // each batch. A block of 0 leaves nothing out.
  std::int64_t block = 0;
  std::int64_t stride = 0;

  std::int64_t At(std::int64_t i) const {
    return block == 0 ? first + i : first + i / block * stride + i % block;
  }
};

// A stream for each of `pictures` pictures of these samples, keyed by (seed, sample, draw, purpose)
// and by how many times the sample has been there before: a batch draws what its parts would.
// `draw`, below 1000, tells several for one sample apart.
std::vector<KeyedRandom> KeyedRandoms(std::uint64_t seed, const SampleRange& samples,
                                      std::int64_t pictures, std::int64_t draw, Purpose purpose);

// 0 to size - 1 in a random order.
std::vector<std::int64_t> KeyedOrder(std::int64_t size, KeyedRandom random);

}  // namespace atelier::train
