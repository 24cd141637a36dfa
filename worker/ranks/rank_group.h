// Processes that train together ("ranks", 0 to size - 1): sums, broadcasts and gathers over all of
// them, and what becomes of the others when one ends. On CPUs and, through the host's memory, on
// GPUs it is LibTorch's c10d with Gloo; nothing outside rank_group.cc sees either.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// Declared only, so that files with protobuf in them can include this one.
namespace at {
class Tensor;
}  // namespace at

namespace atelier::ranks {

// Owned by the training thread; autograd may call Sum and StartSum from its threads while that one
// waits for a backward(). Every rank makes the same calls in the same order.
//
// The collectives cannot return errors, because autograd calls them: the first failure is kept in
// status(), and from then on they do nothing and what they leave in tensors means nothing. Whoever
// trains asks for status() once a step and before anything is written.
class RankGroup final {
 public:
  struct Options {
    int rank = 0;
    int size = 1;
    // Where rank 0 waits for the others, or, with `hosted_elsewhere`, where somebody else does.
    // Rank 0 listens at this address only.
    std::string host = "127.0.0.1";
    int port = 0;  // 0: rank 0 takes a free one, see `on_listening`
    bool hosted_elsewhere = false;
    // The network interface for the ranks' data; empty: the one towards `host`.
    std::string interface;
    // Keeps the groups apart that meet at one place.
    std::string name = "atelier";
    // All must have come by then.
    absl::Duration join_timeout = absl::Minutes(5);
    // For one collective: longer than the longest that one rank does alone, such as measuring.
    absl::Duration timeout = absl::Minutes(30);
    // With rank 0, once others can come: the port.
    std::function<void(int port)> on_listening;
  };

  // Blocks until all ranks are there. From now on this process ignores SIGPIPE, unless it handles
  // it. UNAVAILABLE: they are not in time (named), or rank 0 does not answer; INVALID_ARGUMENT: no
  // such address or interface, or the port is taken.
  static absl::StatusOr<std::unique_ptr<RankGroup>> Join(const Options& options);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int rank() const;
  int size() const;

  // Begins to sum a tensor over all ranks, in place. It must be contiguous and is not to be touched
  // until what is returned was called, which waits.
  std::function<void()> StartSum(const at::Tensor& tensor);
  void Sum(const at::Tensor& tensor);
  // Rank 0's contents for all, in place. Contiguous.
  void Broadcast(const at::Tensor& tensor);
  // [...] of each rank → [size, ...], on the tensor's device.
  at::Tensor Gather(const at::Tensor& tensor);
  // Returns when all have called it.
  absl::Status Barrier();

  // UNAVAILABLE: ranks were lost, which are named as far as is known. Any other code: a rank has
  // left with that error, and the sentence says which.
  const absl::Status& status() const;

  // Compares texts, [what it is, its value] each, over all ranks. INVALID_ARGUMENT, on all of them:
  // one that differs, and on which rank.
  absl::Status ExpectEqual(const std::vector<std::pair<std::string, std::string>>& facts);

  // This rank ends before the others with an error of its own: their status() becomes that. Nothing
  // can be called afterwards but status(). Waits up to a few seconds for the others to hear it.
  void Leave(const absl::Status& why);

 private:
  struct State;
  explicit RankGroup(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace atelier::ranks
