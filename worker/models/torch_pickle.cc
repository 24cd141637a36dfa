#include "worker/models/torch_pickle.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/checked_math.h"
#include "worker/models/complaints.h"
#include "worker/models/pickle_machine.h"
#include "worker/models/pickle_tensors.h"
#include "worker/models/zip_reader.h"

namespace atelier::models {
namespace {

using Kind = PickleNode::Kind;

// The first two pickles of the old layout: the magic number 0x1950a86a20f9469cfc6c and the version
// 1001.
constexpr std::string_view kOldMagic(
    "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.\x80\x02M\xe9\x03.", 21);
constexpr std::string_view kOldMagicStart = kOldMagic.substr(0, 4);
constexpr std::string_view kZipMagic("PK\3\4", 4);

// Copies `storage`'s elements from the beginning of `bytes`; returns their length, or nothing when
// `bytes` is too short.
std::optional<std::uint64_t> FillStorage(Storage& storage, std::string_view bytes) {
  const std::optional<std::uint64_t> length =
      CheckedMultiply(storage.elements, c10::elementSize(storage.type));
  if (!length || *length > bytes.size()) {
    return std::nullopt;
  }
  storage.values =
      torch::empty({static_cast<std::int64_t>(storage.elements)}, torch::dtype(storage.type));
  if (*length > 0) {
    std::memcpy(storage.values.data_ptr(), bytes.data(), *length);
  }
  return length;
}

// `budget`: bytes that may still be handed out; many tensors may show one storage.
absl::StatusOr<at::Tensor> BuildTensor(const PickleNode& node, const Storages& storages,
                                       std::uint64_t& budget) {
  ATELIER_ASSIGN_OR_RETURN(const TensorView view, ViewOf(node, storages));
  const Storage& storage = storages.at(node.items[0]->text);
  if (view.elements == 0) {
    return torch::empty(view.sizes, torch::dtype(storage.type));
  }
  const std::uint64_t length = view.elements * c10::elementSize(storage.type);
  if (!storage.values.defined() || length > budget) {
    return DamagedPickle("a tensor in it is larger than its storage");
  }
  budget -= length;
  return storage.values.as_strided(view.sizes, view.strides, view.offset)
      .clone(at::MemoryFormat::Contiguous);
}

// What training programs call the weights among the other things of a checkpoint.
constexpr std::string_view kNestings[] = {"state_dict", "model_state_dict", "model",
                                          "generator",  "params",           "netG"};
constexpr int kMaxNesting = 3;

struct NestedDict {
  std::string path;  // "state_dict.generator"
  const PickleNode* dict;
};

bool HoldsTensors(const PickleNode& dict) {
  for (std::size_t i = 1; i < dict.items.size(); i += 2) {
    if (dict.items[i]->kind == Kind::kTensor) {
      return true;
    }
  }
  return false;
}

// Adds the dicts of tensors below `node` to `found`. Every dict is looked into once: a hostile file
// may hold one many times, or within itself.
void FindDicts(const PickleNode& node, const std::string& path, int depth,
               std::set<const PickleNode*>& seen, std::vector<NestedDict>& found) {
  if (!seen.insert(&node).second) {
    return;
  }
  if (HoldsTensors(node)) {
    found.push_back({path, &node});
    return;
  }
  for (std::size_t i = 0; i < node.items.size() && depth < kMaxNesting; i += 2) {
    const PickleNode& key = *node.items[i];
    const PickleNode& value = *node.items[i + 1];
    if (key.kind == Kind::kString && value.kind == Kind::kDict &&
        std::ranges::find(kNestings, key.text) != std::end(kNestings)) {
      FindDicts(value, path + (path.empty() ? "" : ".") + std::string(key.text), depth + 1, seen,
                found);
    }
  }
}

// `top`, or the one dict of tensors in it.
absl::StatusOr<const PickleNode*> FindStateDict(const PickleNode& top) {
  if (top.kind != Kind::kDict) {
    return DamagedPickle("its top object is not a dict");
  }
  if (top.items.empty()) {
    return &top;
  }
  std::vector<NestedDict> found;
  std::set<const PickleNode*> seen;
  FindDicts(top, "", 0, seen, found);
  if (found.size() == 1) {
    return found.front().dict;
  }
  std::string names;
  if (found.empty()) {
    for (const std::string_view name : kNestings) {
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return DamagedPickle("it holds no dict of named tensors, neither at its top nor as " + names);
  }
  Complaints several("it holds several sets of weights,");
  for (const NestedDict& nested : found) {
    several.Add(nested.path);
  }
  several.AppendTo(names);
  return DamagedPickle(names + "; save the one that is meant as a file of its own");
}

absl::StatusOr<TensorMap> BuildTensors(const PickleNode& top, const Storages& storages,
                                       std::uint64_t budget) {
  ATELIER_ASSIGN_OR_RETURN(const PickleNode* dict, FindStateDict(top));
  TensorMap tensors;
  for (std::size_t i = 0; i < dict->items.size(); i += 2) {
    const PickleNode& key = *dict->items[i];
    const PickleNode& value = *dict->items[i + 1];
    if (key.kind != Kind::kString || value.kind != Kind::kTensor) {
      return DamagedPickle("it holds something other than named tensors");
    }
    ATELIER_ASSIGN_OR_RETURN(const at::Tensor tensor, BuildTensor(value, storages, budget));
    if (!tensors.emplace(key.text, tensor).second) {
      return DamagedPickle("a name appears twice in it");
    }
  }
  return tensors;
}

// Magic number, version, facts about the writer, the object, the storages' keys, then each storage:
// its length and its elements.
absl::StatusOr<TensorMap> ParseOld(std::string_view bytes) {
  if (!bytes.starts_with(kOldMagic)) {
    return DamagedPickle("its magic number or version is unknown");
  }
  PickleArena arena;
  std::string_view rest = bytes.substr(kOldMagic.size());
  std::size_t used = 0;
  ATELIER_RETURN_IF_ERROR(RunPickle(rest, arena, used).status());
  rest.remove_prefix(used);
  ATELIER_ASSIGN_OR_RETURN(const PickleNode* top, RunPickle(rest, arena, used));
  rest.remove_prefix(used);
  ATELIER_ASSIGN_OR_RETURN(const PickleNode* keys, RunPickle(rest, arena, used));
  rest.remove_prefix(used);
  ATELIER_ASSIGN_OR_RETURN(Storages storages, DeclaredStorages(arena));
  for (const PickleNode* key : keys->items) {
    const auto storage = key->kind == Kind::kString ? storages.find(key->text) : storages.end();
    std::uint64_t elements = 0;
    if (storage == storages.end() || rest.size() < sizeof(elements)) {
      return DamagedPickle("its storages are cut off or unknown");
    }
    std::memcpy(&elements, rest.data(), sizeof(elements));
    rest.remove_prefix(sizeof(elements));
    const auto length = elements == storage->second.elements ? FillStorage(storage->second, rest)
                                                             : std::optional<std::uint64_t>();
    if (!length) {
      return DamagedPickle("its storages are cut off");
    }
    rest.remove_prefix(*length);
  }
  return BuildTensors(*top, storages, 2 * bytes.size());
}

// <folder>/data.pkl and <folder>/data/<key>.
absl::StatusOr<TensorMap> ParseZip(std::string_view bytes) {
  ATELIER_ASSIGN_OR_RETURN(const auto entries, ReadStoredZip(bytes));
  constexpr std::string_view kObject = "/data.pkl";
  for (const auto& [name, data] : entries) {
    if (!name.ends_with(kObject)) {
      continue;
    }
    const std::string folder = name.substr(0, name.size() - kObject.size());
    const auto order = entries.find(folder + "/byteorder");
    if (order != entries.end() && order->second != "little") {
      return DamagedPickle("it was written by a big-endian machine");
    }
    PickleArena arena;
    std::size_t used = 0;
    ATELIER_ASSIGN_OR_RETURN(const PickleNode* top, RunPickle(data, arena, used));
    ATELIER_ASSIGN_OR_RETURN(Storages storages, DeclaredStorages(arena));
    // Entries may overlap in a hostile file; together the storages are never larger than the file.
    std::uint64_t budget = bytes.size();
    for (auto& [key, storage] : storages) {
      const auto values = entries.find(folder + "/data/" + std::string(key));
      const auto length = values == entries.end()
                              ? std::optional<std::uint64_t>()
                              : FillStorage(storage, values->second.substr(0, budget));
      if (!length) {
        return DamagedPickle("a storage is missing or cut off");
      }
      budget -= *length;
    }
    return BuildTensors(*top, storages, 2 * bytes.size());
  }
  return DamagedPickle("it is a zip file without a state dict");
}

}  // namespace

absl::StatusOr<TensorMap> ParseTorchPickle(std::string_view bytes) {
  if (bytes.starts_with(kZipMagic)) {
    return ParseZip(bytes);
  }
  if (bytes.starts_with(kOldMagicStart)) {
    return ParseOld(bytes);
  }
  return DamagedPickle("it is not a file of torch.save");
}

absl::StatusOr<TensorMap> ReadTorchPickle(const std::filesystem::path& path,
                                          std::uint64_t max_bytes) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, max_bytes));
  return ParseTorchPickle(bytes);
}

}  // namespace atelier::models
