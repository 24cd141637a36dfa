#include "tests/worker/serve/fake_stylizer.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "worker/image/codec.h"
#include "worker/infer/pattern_maker.h"
#include "worker/infer/stylizer.h"
#include "worker/serve/model_cache.h"

namespace atelier::test {
namespace {

class FakeStylizer final : public infer::Stylizer {
 public:
  FakeStylizer(FakeModels& models, std::uint64_t bytes) : models_(models), bytes_(bytes) {
    spec_.classes = {"dark", "light"};
  }

  absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images,
                                     const infer::StylizeControls& controls) override {
    if (absl::Status status = models_.Compute(static_cast<int>(images.size(0))); !status.ok()) {
      return status;
    }
    if (absl::Status status = controls.still_wanted(); !status.ok()) {
      return status;
    }
    if (!controls.mix.empty()) {
      return at::full_like(images, static_cast<int>(255 * controls.mix.at(1)));
    }
    if (controls.style_image.defined()) {
      return controls.style_image[0][0].expand_as(images).contiguous();
    }
    return images.bitwise_not();
  }
  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return bytes_; }

 private:
  FakeModels& models_;
  const std::uint64_t bytes_;
  ModelSpec spec_;
};

// Squares of 64 pixels, as bright as the seed.
class FakePatternMaker final : public infer::PatternMaker {
 public:
  FakePatternMaker(FakeModels& models, std::uint64_t bytes) : models_(models), bytes_(bytes) {}

  absl::StatusOr<at::Tensor> Make(const infer::PatternOrder& order, Precision) override {
    if (absl::Status status = models_.Compute(static_cast<int>(order.seeds.size())); !status.ok()) {
      return status;
    }
    std::vector<at::Tensor> squares;
    for (const std::uint64_t seed : order.seeds) {
      squares.push_back(at::full({side(), side(), 3}, static_cast<std::int64_t>(seed), at::kByte));
    }
    return at::stack(squares);
  }
  int side() const override { return 64; }
  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return bytes_; }

 private:
  FakeModels& models_;
  const std::uint64_t bytes_;
  const ModelSpec spec_;
};

}  // namespace

void FakeModels::FailLoads(const std::string& directory, absl::Status status) {
  absl::MutexLock lock(&mu_);
  failures_[directory] = std::move(status);
}

void FakeModels::HoldLoads(bool hold) {
  absl::MutexLock lock(&mu_);
  hold_loads_ = hold;
}

void FakeModels::HoldCompute(bool hold) {
  absl::MutexLock lock(&mu_);
  hold_compute_ = hold;
}

void FakeModels::StepCompute() {
  absl::MutexLock lock(&mu_);
  ++steps_;
}

void FakeModels::ThrowFromCompute(std::function<void()> thrower) {
  absl::MutexLock lock(&mu_);
  thrower_ = std::move(thrower);
}

std::vector<std::string> FakeModels::loads() {
  absl::MutexLock lock(&mu_);
  return loads_;
}

int FakeModels::computing() {
  absl::MutexLock lock(&mu_);
  return computing_;
}

int FakeModels::computed() {
  absl::MutexLock lock(&mu_);
  return computed_;
}

int FakeModels::loading() {
  absl::MutexLock lock(&mu_);
  return loading_;
}

std::vector<int> FakeModels::batches() {
  absl::MutexLock lock(&mu_);
  return batches_;
}

std::vector<std::uint32_t> FakeModels::warmed() {
  absl::MutexLock lock(&mu_);
  return warmed_;
}

void FakeModels::FailWarmUps(absl::Status status) {
  absl::MutexLock lock(&mu_);
  warm_up_failure_ = std::move(status);
}

void FakeModels::FailBatchesAbove(int pictures) {
  absl::MutexLock lock(&mu_);
  largest_batch_ = pictures;
}

worker::ModelCache::Options FakeModels::CacheOptions(std::uint64_t bytes, std::uint64_t budget) {
  worker::ModelCache::Options options;
  options.budget_bytes = budget;
  options.warm_up = [this](infer::Model&, const std::vector<std::uint32_t>& sizes) {
    return WarmUp(sizes);
  };
  options.load =
      [this,
       bytes](const infer::ModelOptions& wanted) -> absl::StatusOr<std::unique_ptr<infer::Model>> {
    if (absl::Status status = Load(wanted.directory.string()); !status.ok()) {
      return status;
    }
    if (wanted.directory.string().starts_with(kPatternDirectory)) {
      return std::make_unique<FakePatternMaker>(*this, bytes);
    }
    return std::make_unique<FakeStylizer>(*this, bytes);
  };
  return options;
}

std::unique_ptr<worker::ModelCache> FakeModels::MakeCache(std::uint64_t bytes,
                                                          std::uint64_t budget) {
  return std::make_unique<worker::ModelCache>(CacheOptions(bytes, budget));
}

std::unique_ptr<worker::Pipeline> FakeModels::MakePipeline(Clock& clock, std::uint64_t budget) {
  return std::make_unique<worker::Pipeline>(worker::Pipeline::Options(), CacheOptions(1000, budget),
                                            clock);
}

absl::Status FakeModels::Load(const std::string& directory) {
  absl::MutexLock lock(&mu_);
  loads_.push_back(directory);
  ++loading_;
  mu_.Await(absl::Condition(+[](bool* hold) { return !*hold; }, &hold_loads_));
  --loading_;
  return failures_[directory];
}

absl::Status FakeModels::WarmUp(const std::vector<std::uint32_t>& sizes) {
  absl::MutexLock lock(&mu_);
  warmed_.insert(warmed_.end(), sizes.begin(), sizes.end());
  return warm_up_failure_;
}

absl::Status FakeModels::Compute(int pictures) {
  std::function<void()> thrower;
  bool too_many = false;
  {
    absl::MutexLock lock(&mu_);
    ++computing_;
    batches_.push_back(pictures);
    mu_.Await(absl::Condition(this, &FakeModels::MayCompute));
    steps_ = std::max(0, steps_ - 1);
    --computing_;
    ++computed_;
    thrower = thrower_;
    too_many = pictures > largest_batch_;
  }
  if (thrower != nullptr) {
    thrower();
  }
  return too_many ? absl::ResourceExhaustedError("too many pictures") : absl::OkStatus();
}

std::string EncodedPicture(ImageFormat format, int height, int width) {
  at::Tensor rgb = at::full({height, width, 3}, 200, at::kByte);
  rgb.narrow(0, height / 4, height / 2).narrow(1, width / 4, width / 2).fill_(60);
  auto bytes = image::EncodeImage(rgb, at::Tensor(), {.format = format});
  ATELIER_CHECK(bytes.ok());
  return *std::move(bytes);
}

}  // namespace atelier::test
