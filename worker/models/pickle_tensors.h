// What a pickle says of its storages and tensors, checked. Pure functions, thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/models/pickle_machine.h"

namespace atelier::models {

struct Storage {
  at::ScalarType type = at::kFloat;
  std::uint64_t elements = 0;  // as the pickle claims
  at::Tensor values;           // flat; for the reader of the file to fill in
};
// By key; the keys point into the pickle's bytes.
using Storages = std::map<std::string_view, Storage>;

// All storages among the nodes. DATA_LOSS: unknown type, negative size, two descriptions of one
// storage that disagree.
absl::StatusOr<Storages> DeclaredStorages(const PickleArena& arena);

// Where in its storage a tensor lies.
struct TensorView {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::int64_t offset = 0;
  std::uint64_t elements = 0;
};

// Of a node of kind kTensor. DATA_LOSS: malformed, of more than 8 dimensions, or not within the
// elements that its storage claims.
absl::StatusOr<TensorView> ViewOf(const PickleNode& node, const Storages& storages);

}  // namespace atelier::models
