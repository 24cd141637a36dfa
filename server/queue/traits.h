// What queue and dispatcher must know of a request besides its work and its deadline.
#pragma once

#include <cstdint>
#include <string>

namespace atelier::server {

// In the order in which they are served; see atelier.v1.Priority.
enum class Priority { kHigh, kNormal, kLow };
inline constexpr int kPriorities = 3;

struct RequestTraits {
  // "name@version": what limits, rates and batches are counted by.
  std::string model;
  // Who asks: the address without its port, or the name in the client's certificate. Limits are
  // counted by it; never a metric label.
  std::string client;
  Priority priority = Priority::kNormal;
  // How much there is to compute: pixels of the result in millions (all pictures of a request).
  // What is measured of a model's speed is measured per megapixel.
  double megapixels = 0;
  // Of everything that a worker is told: equal requests have equal fingerprints, so that one that
  // brings workers down is known when it comes again (strike_table.h). 0: not known.
  std::uint64_t fingerprint = 0;
};

}  // namespace atelier::server
