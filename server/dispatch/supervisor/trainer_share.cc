#include "server/dispatch/supervisor/trainer_share.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace atelier::server {
namespace {

// sched_prio_to_weight of the kernel (kernel/sched/core.c) from nice 0 to 19: each step is about a
// quarter less. They are the same for CFS and EEVDF.
constexpr std::array<double, 20> kWeights = {1024, 820, 655, 526, 423, 335, 272, 215, 172, 137,
                                             110,  87,  70,  56,  45,  36,  29,  23,  18,  15};

}  // namespace

double ServingShareAt(int nice, std::uint32_t trainer_threads) {
  const double weight = kWeights.at(static_cast<std::size_t>(nice));
  return kWeights[0] / (kWeights[0] + trainer_threads * weight);
}

TrainerShare ShareOf(double serving_share, std::uint32_t count, std::uint32_t threads,
                     std::uint32_t cores) {
  cores = std::max(cores, 1U);
  TrainerShare share = {.nice = 0, .leftover = serving_share >= kLeftoverShare, .threads = threads};
  if (threads == 0 && count > 1) {
    share.threads = std::max(cores / count, 1U);
  }
  const std::uint32_t all = count * (share.threads == 0 ? cores : share.threads);
  const std::uint32_t on_each_core = std::max((all + cores - 1) / cores, 1U);
  constexpr int kNicest = static_cast<int>(kWeights.size()) - 1;
  while (share.nice < kNicest && ServingShareAt(share.nice, on_each_core) < serving_share) {
    ++share.nice;
  }
  return share;
}

}  // namespace atelier::server
