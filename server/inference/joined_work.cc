#include "server/inference/joined_work.h"

#include <utility>

namespace atelier::server {

std::shared_ptr<JoinedWork> JoinedWork::Create(WorkDesk& desk, std::size_t works, Done done) {
  return std::shared_ptr<JoinedWork>(new JoinedWork(desk, works, std::move(done)));
}

JoinedWork::JoinedWork(WorkDesk& desk, std::size_t works, Done done)
    : desk_(desk), answers_(works), missing_(works), done_(std::move(done)) {
  for (std::size_t i = 0; i < works; ++i) {
    ids_.push_back(desk.NextId());
  }
}

void JoinedWork::Start(std::vector<Work> works, const WorkTerms& terms) {
  for (std::size_t i = 0; i < works.size(); ++i) {
    if (stopped()) {
      OnAnswer(i, {.outcome = absl::CancelledError("The caller cancelled the request."),
                   .from = WorkAnswer::From::kRefusal});
      continue;
    }
    desk_.Submit(ids_[i], std::move(works[i]), terms,
                 [self = shared_from_this(), i](WorkAnswer answer) {
                   self->OnAnswer(i, std::move(answer));
                 });
    if (stopped()) {
      desk_.Cancel(ids_[i]);  // the stop may have come before the queue knew it
    }
  }
}

void JoinedWork::Awaited() {
  for (const RequestId id : ids_) {
    desk_.Awaited(id);
  }
}

void JoinedWork::Cancel() {
  {
    const absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  CancelAll();
}

bool JoinedWork::stopped() const {
  const absl::MutexLock lock(&mutex_);
  return cancelled_ || !error_.ok();
}

void JoinedWork::CancelAll() {
  for (const RequestId id : ids_) {
    desk_.Cancel(id);
  }
}

void JoinedWork::OnAnswer(std::size_t place, WorkAnswer answer) {
  bool first_error = false;
  std::optional<Done> done;
  absl::Status error;
  std::vector<WorkAnswer> all;
  {
    const absl::MutexLock lock(&mutex_);
    if (!answer.outcome.ok() && error_.ok()) {
      first_error = true;
      error_ = answer.outcome.status();
    }
    answers_[place] = std::move(answer);
    --missing_;
    if (missing_ == 0) {
      done = std::move(done_);
      error = error_;
      for (std::optional<WorkAnswer>& each : answers_) {
        all.push_back(*std::move(each));
      }
    }
  }
  if (done.has_value()) {
    if (error.ok()) {
      (*std::move(done))(std::move(all));
    } else {
      (*std::move(done))(std::move(error));
    }
  } else if (first_error) {
    CancelAll();
  }
}

}  // namespace atelier::server
