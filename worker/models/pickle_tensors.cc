#include "worker/models/pickle_tensors.h"

#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "worker/models/checked_math.h"
#include "worker/models/storage_types.h"

namespace atelier::models {
namespace {

using Kind = PickleNode::Kind;

std::optional<std::vector<std::int64_t>> Integers(const PickleNode& tuple) {
  std::vector<std::int64_t> numbers;
  for (const PickleNode* item : tuple.items) {
    if (item->kind != Kind::kInt || item->number < 0) {
      return std::nullopt;
    }
    numbers.push_back(item->number);
  }
  return numbers;
}

// The elements that a view touches lie below this; nothing when it overflows.
std::optional<std::uint64_t> ViewEnd(const TensorView& view) {
  std::int64_t last = view.offset;
  for (std::size_t i = 0; i < view.sizes.size(); ++i) {
    std::int64_t step = 0;
    if (__builtin_mul_overflow(view.sizes[i] - 1, view.strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  return static_cast<std::uint64_t>(last) + 1;
}

}  // namespace

absl::StatusOr<Storages> DeclaredStorages(const PickleArena& arena) {
  Storages storages;
  for (const PickleNode& node : arena.nodes()) {
    if (node.kind != Kind::kStorage) {
      continue;
    }
    const std::optional<at::ScalarType> type = StorageTypeOf(node.items[0]->text);
    if (!type || node.number < 0) {
      return DamagedPickle("a storage in it has an unknown type or size");
    }
    const Storage declared{.type = *type, .elements = static_cast<std::uint64_t>(node.number)};
    const Storage& known = storages.emplace(node.text, declared).first->second;
    if (known.type != declared.type || known.elements != declared.elements) {
      return DamagedPickle("two descriptions of a storage in it disagree");
    }
  }
  return storages;
}

absl::StatusOr<TensorView> ViewOf(const PickleNode& node, const Storages& storages) {
  const auto storage = storages.find(node.items[0]->text);
  auto sizes = Integers(*node.items[2]);
  auto strides = Integers(*node.items[3]);
  TensorView view{.offset = node.items[1]->number};
  if (storage == storages.end() || view.offset < 0 || !sizes || !strides ||
      sizes->size() != strides->size() || sizes->size() > kMaxDimensions) {
    return DamagedPickle("a tensor in it is malformed");
  }
  view.sizes = *std::move(sizes);
  view.strides = *std::move(strides);
  const std::optional<std::uint64_t> elements = CheckedElements(view.sizes);
  const std::optional<std::uint64_t> end =
      elements && *elements > 0 ? ViewEnd(view) : std::optional<std::uint64_t>(0);
  if (!elements || *elements > storage->second.elements || !end ||
      *end > storage->second.elements) {
    return DamagedPickle("a tensor in it is larger than its storage");
  }
  view.elements = *elements;
  return view;
}

}  // namespace atelier::models
