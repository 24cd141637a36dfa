// Which models one worker had better not be given: those that it could not load, for a while that
// doubles from 1 s to a minute, and those at whose requests it failed three times in a minute.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/dispatch/circuit_breaker.h"

namespace atelier::server {

// Of one connected worker. Models are told by "name@version"; an empty name is of no model, and has
// no faults. Not thread-safe: the dispatcher guards it.
class ModelFaults {
 public:
  // No more models than this are remembered.
  static constexpr std::size_t kMaxModels = 256;

  explicit ModelFaults(CircuitBreaker::Options options = {}) : options_(options) {}

  // It could not load the model with these weights.
  void LoadFailed(const std::string& model, const std::string& weights, absl::Time now);
  // It failed at a request of the model.
  void Failed(const std::string& model, std::uint64_t fingerprint, absl::Time now);
  // It did a request of the model. Whether there was anything to forget.
  bool Worked(const std::string& model);
  // It has loaded these weights now. The models whose faults are forgotten for that.
  std::vector<std::string> Loaded(const std::string& weights);

  // Whether it should not get requests of the model now.
  bool Avoids(const std::string& model, absl::Time now) const;
  // Until when loads of the model are not tried again; InfinitePast: they may be.
  absl::Time NoLoadBefore(const std::string& model, absl::Time now) const;

 private:
  struct Fault {
    CircuitBreaker breaker;
    std::string weights;
    bool load = false;  // the last one was of a load
  };

  Fault& Find(const std::string& model, absl::Time now);

  CircuitBreaker::Options options_;
  std::map<std::string, Fault> faults_;
};

}  // namespace atelier::server
