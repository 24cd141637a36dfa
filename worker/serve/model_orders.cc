#include "worker/serve/model_orders.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"

namespace atelier::worker {

void ModelOrders::Load(ModelSource source, std::vector<std::uint32_t> sizes, std::uint64_t order,
                       Done done) {
  {
    const absl::MutexLock lock(&mu_);
    loads_.push_back({.source = std::move(source),
                      .sizes = std::move(sizes),
                      .order = order,
                      .done = std::move(done)});
  }
  background_.Post([this] { RunNext(); });
}

void ModelOrders::Unload(ModelSource source) {
  {
    const absl::MutexLock lock(&mu_);
    UnloadOrder unload;
    for (auto load = loads_.begin(); load != loads_.end();) {
      if (SameModel(load->source, source)) {
        unload.overtaken.push_back(std::move(*load));
        load = loads_.erase(load);
      } else {
        ++load;
      }
    }
    if (at_work_ != nullptr && SameModel(at_work_->source, source)) {
      at_work_->wanted = false;
    }
    unload.source = std::move(source);
    unloads_.push_back(std::move(unload));
  }
  background_.Post([this] { RunNext(); });
}

void ModelOrders::Cancel(std::uint64_t order) {
  if (order == 0) {
    return;
  }
  LoadOrder cancelled;
  {
    const absl::MutexLock lock(&mu_);
    if (at_work_ != nullptr && at_work_->order == order) {
      at_work_->wanted = false;
      return;
    }
    const auto load = std::ranges::find(loads_, order, &LoadOrder::order);
    if (load == loads_.end()) {
      return;
    }
    cancelled = std::move(*load);
    loads_.erase(load);
  }
  std::move(cancelled.done)();
}

void ModelOrders::Stop() {
  const absl::MutexLock lock(&mu_);
  if (at_work_ != nullptr) {
    at_work_->wanted = false;
  }
}

void ModelOrders::RunNext() {
  std::optional<UnloadOrder> unload;
  std::optional<LoadOrder> load;
  std::shared_ptr<AtWork> work;
  {
    const absl::MutexLock lock(&mu_);
    if (!unloads_.empty()) {
      unload = std::move(unloads_.front());
      unloads_.pop_front();
    } else if (load = NextLoad(); load.has_value()) {
      work = std::make_shared<AtWork>();
      work->source = load->source;
      work->order = load->order;
      at_work_ = work;
    }
  }
  if (unload.has_value()) {
    for (LoadOrder& overtaken : unload->overtaken) {
      models_.Refuse(overtaken.source,
                     absl::CancelledError("A later order dropped the model from memory."),
                     overtaken.order);
      std::move(overtaken.done)();
    }
    models_.Drop(unload->source);
  }
  if (load.has_value()) {
    models_.Keep(load->source, load->sizes, load->order, [&work] { return work->wanted.load(); });
    {
      const absl::MutexLock lock(&mu_);
      at_work_ = nullptr;
    }
    std::move(load->done)();
  }
}

std::optional<ModelOrders::LoadOrder> ModelOrders::NextLoad() {
  if (loads_.empty()) {
    return std::nullopt;
  }
  auto next = std::ranges::find_if(
      loads_, [last = last_](const LoadOrder& load) { return !SameModel(load.source, last); });
  if (next == loads_.end()) {
    next = loads_.begin();
  }
  LoadOrder load = std::move(*next);
  loads_.erase(next);
  last_ = load.source;
  return load;
}

}  // namespace atelier::worker
