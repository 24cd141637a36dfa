#include "worker/serve/identity.h"

#include <string>
#include <utility>

#include "worker/serve/stages.h"

namespace atelier::worker {
namespace {

class IdentityJob final : public Job {
 public:
  IdentityJob(IdentityTask task, Clock& clock, std::function<void(IdentityOutcome)> done)
      : Job(task.cancelled),
        task_(std::move(task)),
        stages_(*task_.cancelled, task_.deadline, clock),
        done_(std::move(done)) {}

  Next Prepare() override { return Next::kFinish; }

  // Never asked for: nothing comes between Prepare and Finish.
  const ModelSource& model() const override { return no_model_; }
  Next TakeModel(const ModelOrError& /*model*/) override { return Next::kFinish; }
  const BatchTraits& batch() const override { return no_batch_; }
  void Compute(const Batch& batch,
               const std::function<void(std::shared_ptr<Job>)>& computed) override {
    computed(batch.front());
  }
  std::uint64_t held_bytes() const override { return 0; }

  void Finish() override {
    IdentityOutcome outcome;
    outcome.status = stages_.StillWanted();
    if (outcome.status.ok()) {
      outcome.payload = std::move(task_.payload);
    }
    done_(std::move(outcome));
  }

 private:
  IdentityTask task_;
  const Stages stages_;
  const std::function<void(IdentityOutcome)> done_;
  const ModelSource no_model_;
  const BatchTraits no_batch_;
};

}  // namespace

std::shared_ptr<Job> MakeIdentityJob(IdentityTask task, Clock& clock,
                                     std::function<void(IdentityOutcome)> done) {
  return std::make_shared<IdentityJob>(std::move(task), clock, std::move(done));
}

}  // namespace atelier::worker
