#include "worker/serve/queue/stage_threads.h"

#include <utility>

namespace atelier::worker {

StageThreads::StageThreads(const Options& options, ModelProvider& models, Clock& clock)
    : max_held_bytes_(static_cast<std::int64_t>(options.max_held_bytes)),
      models_(models),
      to_compute_(clock) {
  const auto begin = [](const std::function<void()>& at_start, StageThreads* self,
                        void (StageThreads::*stage)()) {
    return std::thread([at_start, self, stage] {
      at_start();
      (self->*stage)();
    });
  };
  for (int i = 0; i < options.decode_threads; ++i) {
    decoders_.push_back(begin(options.at_codec_start, this, &StageThreads::Decode));
  }
  loader_ = begin(options.at_compute_start, this, &StageThreads::LoadModels);
  computer_ = begin(options.at_compute_start, this, &StageThreads::Compute);
  for (int i = 0; i < options.encode_threads; ++i) {
    encoders_.push_back(begin(options.at_codec_start, this, &StageThreads::Encode));
  }
}

// Stage by stage, so that whatever a stage still hands on finds the next one at work.
StageThreads::~StageThreads() {
  {
    absl::MutexLock lock(&mu_);
    ending_ = true;
  }
  to_decode_.Close();
  for (std::thread& thread : decoders_) {
    thread.join();
  }
  to_load_.Close();
  loader_.join();
  to_compute_.Close();
  computer_.join();
  to_encode_.Close();
  for (std::thread& thread : encoders_) {
    thread.join();
  }
}

void StageThreads::Submit(std::shared_ptr<Job> job) {
  if (!to_decode_.PushWanted(job)) {
    to_encode_.PushFront(std::move(job));
  }
}

void StageThreads::Cancel(const CancelFlag& flag) {
  flag->store(true);
  std::shared_ptr<Job> job = to_decode_.Remove(flag);
  if (job == nullptr) {
    job = to_load_.Remove(flag);
  }
  if (job == nullptr) {
    job = to_compute_.Remove(flag);
  }
  if (job != nullptr) {
    to_encode_.PushFront(std::move(job));
  }
}

void StageThreads::Decode() {
  while (true) {
    AwaitRoom();
    std::shared_ptr<Job> job = to_decode_.Pop();
    if (job == nullptr) {
      return;
    }
    const Job::Next next = job->Prepare();
    if (next == Job::Next::kFinish) {
      // There is nothing to encode, so the encoders are not bothered.
      job->Finish();
      continue;
    }
    Hold(static_cast<std::int64_t>(job->held_bytes()));
    Forward(std::move(job), next);
  }
}

void StageThreads::LoadModels() {
  while (const std::shared_ptr<Job> first = to_load_.Front()) {
    if (first->cancelled()) {
      for (std::shared_ptr<Job>& job :
           to_load_.TakeIf([&](const Job& waiting) { return &waiting == first.get(); })) {
        to_encode_.PushFront(std::move(job));
      }
      continue;
    }
    const ModelSource source = first->model();
    // The jobs stay in the queue meanwhile, where Cancel finds them.
    const Job::ModelOrError model = models_.Get(source);
    for (std::shared_ptr<Job>& job :
         to_load_.TakeIf([&](const Job& waiting) { return SameModel(waiting.model(), source); })) {
      const Job::Next next = job->TakeModel(model);
      Forward(std::move(job), next);
    }
  }
}

void StageThreads::Compute() {
  for (Job::Batch batch = to_compute_.Take(); !batch.empty(); batch = to_compute_.Take()) {
    const std::shared_ptr<Job> first = batch.front();
    first->Compute(batch, [this](std::shared_ptr<Job> job) { to_encode_.Push(std::move(job)); });
  }
}

void StageThreads::Encode() {
  while (const std::shared_ptr<Job> job = to_encode_.Pop()) {
    const auto held = static_cast<std::int64_t>(job->held_bytes());
    job->Finish();
    Hold(-held);
  }
}

void StageThreads::Forward(std::shared_ptr<Job> job, Job::Next next) {
  if (next == Job::Next::kModel) {
    if (const std::shared_ptr<infer::Model> model = models_.InMemory(job->model())) {
      next = job->TakeModel(model);
    } else if (to_load_.PushWanted(job)) {
      return;
    }
  }
  if (next == Job::Next::kCompute && to_compute_.Put(job)) {
    return;
  }
  to_encode_.PushFront(std::move(job));
}

void StageThreads::Hold(std::int64_t bytes) {
  absl::MutexLock lock(&mu_);
  held_bytes_ += bytes;
}

void StageThreads::AwaitRoom() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &StageThreads::HasRoom));
}

}  // namespace atelier::worker
