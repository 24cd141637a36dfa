// Runs one pickle as far as state dicts need it. Python's own pickle machine calls whatever a file
// names; this one knows a fixed list of opcodes and names, builds plain nodes from them and refuses
// everything else. Bounded in memory whatever the bytes are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::models {

struct PickleNode {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kString,
    kTuple,
    kList,
    kDict,     // items: key, value, key, value, ...
    kGlobal,   // text: "module\nname"
    kStorage,  // text: its key; number: elements; items: the global of its type
    kTensor,   // items: storage, offset, sizes, strides
    kOpaque,   // a float; of TorchScript also an object, the result of a call
  };
  Kind kind = Kind::kNone;
  std::int64_t number = 0;
  std::string_view text;  // points into the pickle's bytes
  std::vector<const PickleNode*> items;
};

// Owns the nodes, so that pickles with cycles leave nothing behind. Not thread-safe.
class PickleArena {
 public:
  // Null when there are a million nodes already.
  PickleNode* New(PickleNode::Kind kind);

  const std::deque<PickleNode>& nodes() const { return nodes_; }

 private:
  std::deque<PickleNode> nodes_;
};

// What a pickle may ask for.
enum class PickleDialect {
  kStateDict,  // of torch.save: tensors, numbers and strings in containers
  // Of torch.jit.save: also objects of the program's own classes and TorchScript's typed lists,
  // which are kept as kOpaque: enough to know every tensor and storage in it.
  kTorchScript,
};

// Runs the pickle at the beginning of `bytes`, returns its result and sets `used` to its length.
// DATA_LOSS: cut off, malformed, not allowed, or too large.
absl::StatusOr<const PickleNode*> RunPickle(std::string_view bytes, PickleArena& arena,
                                            std::size_t& used,
                                            PickleDialect dialect = PickleDialect::kStateDict);

// DATA_LOSS, "The weights file is damaged: ".
absl::Status DamagedPickle(std::string_view what);

}  // namespace atelier::models
