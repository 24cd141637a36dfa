#include "worker/train/loader.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/family.h"
#include "worker/infer/guard.h"
#include "worker/kernels/parallel.h"
#include "worker/train/random.h"
#include "worker/train/side_threads.h"

namespace atelier::train {
namespace {

std::int64_t Ahead(const TrainConfig& config, bool resampled, const BatchLoader::Options& options) {
  const std::int64_t side = config.image_size;
  // Two pictures a sample at most, as float.
  const std::int64_t bytes = SamplesAStep(config) * 2 * 3 * side * side * 4;
  const std::int64_t most = std::min(options.ahead, options.ahead_bytes / bytes);
  // ScoreResampling fixes a window's draws before the window in front of it begins.
  return std::max<std::int64_t>(1, resampled ? std::min(most, config.resample.window) : most);
}

}  // namespace

EpochOrder::EpochOrder(std::uint64_t seed, std::int64_t size, std::int64_t set)
    : seed_(seed), set_(set), order_(static_cast<std::size_t>(size)) {
  ATELIER_CHECK(size >= 1);
}

std::int64_t EpochOrder::At(std::int64_t sample) {
  const auto size = static_cast<std::int64_t>(order_.size());
  const std::int64_t epoch = sample / size;
  if (epoch != epoch_) {
    epoch_ = epoch;
    order_ = KeyedOrder(size, KeyedRandom(seed_, epoch, set_, Purpose::kShuffle));
  }
  return order_[sample % size];
}

std::int64_t SamplesAStep(const TrainConfig& config) {
  const Family* family = FindFamily(config.family);
  const int turns = family != nullptr && family->from_noise ? config.gan.steps : 1;
  return static_cast<std::int64_t>(config.batch_size) * config.accumulate * turns;
}

BatchLoader::BatchLoader(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
                         const ImageFolder* style, const Resampling& resampling,
                         const Options& options)
    : config_(config),
      kind_(kind),
      samples_a_step_(SamplesAStep(config)),
      rank_(options.rank),
      ranks_(options.ranks),
      ahead_(Ahead(config, resampling.content != nullptr || resampling.style != nullptr, options)),
      thread_count_(SideThreads(options.threads)),
      resampling_(resampling),
      maker_(config, kind, content, style),
      order_(config.seed, content.size()),
      style_order_(config.seed, style == nullptr ? 1 : style->size(), 1) {
  ATELIER_CHECK(config.batch_size % options.ranks == 0);
}

BatchLoader::~BatchLoader() {
  const absl::MutexLock lock(&mutex_);
  stopping_ = true;  // the threads are joined after the lock is given back, when they are destroyed
}

absl::StatusOr<Batch> BatchLoader::Get(std::int64_t step) {
  if (kind_ == BatchKind::kNone) {
    Batch nothing;
    nothing.first_sample = step * samples_a_step_;
    return nothing;
  }
  StartThreads();
  if (std::exchange(next_step_, step + 1) != step) {
    planned_ = step;
    const absl::MutexLock lock(&mutex_);
    slots_.clear();
  }
  const std::int64_t end =
      config_.steps > 0 ? std::max<std::int64_t>(config_.steps, step + 1) : step + ahead_ + 1;
  for (; planned_ < std::min(end, step + ahead_ + 1); ++planned_) {
    std::shared_ptr<Slot> slot = Plan(planned_);
    const absl::MutexLock lock(&mutex_);
    slots_.push_back(std::move(slot));
  }
  std::shared_ptr<Slot> slot;
  {
    const absl::MutexLock lock(&mutex_);
    slot = slots_.front();
    mutex_.Await(absl::Condition(&slot->done));
    slots_.pop_front();
  }
  if (!slot->status.ok()) {
    return slot->status;
  }
  return std::move(slot->batch);
}

std::int64_t BatchLoader::ready() const {
  const absl::MutexLock lock(&mutex_);
  return std::ranges::count_if(slots_, [](const auto& slot) { return slot->done; });
}

std::shared_ptr<BatchLoader::Slot> BatchLoader::Plan(std::int64_t step) {
  const auto sampler = [step](const ScoreResampling* resampling) {
    return resampling == nullptr ? nullptr : resampling->For(step);
  };
  const auto content = sampler(resampling_.content);
  const auto style = sampler(resampling_.style);
  auto slot = std::make_shared<Slot>();
  const std::int64_t block = config_.batch_size / ranks_;
  for (std::int64_t i = 0; i < samples_a_step_; ++i) {
    if (i % config_.batch_size / block != rank_) {
      continue;
    }
    SamplePlan plan = {.sample = step * samples_a_step_ + i};
    plan.content = content == nullptr ? order_.At(plan.sample) : content->At(plan.sample);
    if (kind_ == BatchKind::kUnpaired) {
      plan.style = style == nullptr ? style_order_.At(plan.sample) : style->At(plan.sample);
    }
    slot->plans.push_back(plan);
  }
  slot->samples.resize(slot->plans.size());
  return slot;
}

void BatchLoader::StartThreads() {
  while (std::ssize(threads_) < thread_count_) {
    threads_.emplace_back([this] { MakeSamples(); });
  }
}

BatchLoader::Slot* BatchLoader::Waiting() const {
  const auto it = std::ranges::find_if(
      slots_, [](const auto& slot) { return slot->begun < slot->plans.size(); });
  return it == slots_.end() ? nullptr : it->get();
}

// What each of the threads does: the next sample of the first batch that has one left.
void BatchLoader::MakeSamples() {
  kernels::StayOnThisThread();
  while (true) {
    std::shared_ptr<Slot> slot;
    std::size_t place = 0;
    {
      const absl::MutexLock lock(&mutex_, absl::Condition(this, &BatchLoader::HasWork));
      if (stopping_) {
        return;
      }
      slot = Waiting()->shared_from_this();
      place = slot->begun++;
    }
    absl::StatusOr<Sample> sample =
        infer::Guarded("loading pictures", [&] { return maker_.Make(slot->plans[place]); });
    bool last = false;
    {
      const absl::MutexLock lock(&mutex_);
      slot->status.Update(sample.status());
      if (sample.ok()) {
        slot->samples[place] = *std::move(sample);
      }
      last = ++slot->made == slot->plans.size();
    }
    if (last) {
      Finish(*slot);
    }
  }
}

void BatchLoader::Finish(Slot& slot) const {
  if (slot.status.ok()) {
    slot.status = infer::Guarded("loading pictures", [&] {
      slot.batch = MakeBatch(slot.samples, slot.plans.front().sample);
      if (ranks_ > 1) {
        slot.batch.block = config_.batch_size / ranks_;
        slot.batch.stride = config_.batch_size;
      }
      slot.samples.clear();
      return absl::OkStatus();
    });
  }
  const absl::MutexLock lock(&mutex_);
  slot.done = true;
}

}  // namespace atelier::train
