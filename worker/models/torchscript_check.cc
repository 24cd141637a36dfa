#include "worker/models/torchscript_check.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/torch.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/models/checked_math.h"
#include "worker/models/complaints.h"
#include "worker/models/pickle_tensors.h"
#include "worker/models/torchscript_code.h"
#include "worker/models/torchscript_operators.h"

namespace atelier::models {
namespace {

using caffe2::serialize::PyTorchStreamReader;

constexpr std::uint64_t kMaxInflatedBytes = 64u << 20;
constexpr int kMaxDepth = 100;

class MemoryReader final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MemoryReader(std::string_view bytes) : bytes_(bytes) {}

  std::size_t size() const override { return bytes_.size(); }

  std::size_t read(std::uint64_t position, void* buffer, std::size_t count,
                   const char* /*what*/) const override {
    TORCH_CHECK(position <= bytes_.size() && count <= bytes_.size() - position,
                "read beyond the end");
    std::memcpy(buffer, bytes_.data() + position, count);
    return count;
  }

 private:
  std::string_view bytes_;
};

absl::Status NotAllowed(const std::string& what) {
  return absl::InvalidArgumentError("The TorchScript program " + what + ".");
}

std::string ReadEntry(PyTorchStreamReader& zip, const std::string& name) {
  std::string contents(zip.getRecordSize(name), '\0');
  zip.getRecord(name, contents.data(), contents.size());
  return contents;
}

absl::Status CheckSizes(PyTorchStreamReader& zip, std::uint64_t file_bytes) {
  std::uint64_t total = 0;
  for (const std::string& name : zip.getAllRecords()) {
    const std::uint64_t size = zip.getRecordSize(name);
    if (size > file_bytes + kMaxInflatedBytes - total) {
      return NotAllowed("claims to be much larger than its file");
    }
    total += size;
  }
  return absl::OkStatus();
}

// `archive`: "data" or "constants": <archive>.pkl and <archive>/<key>.
absl::Status CheckTensors(PyTorchStreamReader& zip, const std::string& archive) {
  const std::string pickle = ReadEntry(zip, archive + ".pkl");
  PickleArena arena;
  std::size_t used = 0;
  ATELIER_RETURN_IF_ERROR(RunPickle(pickle, arena, used, PickleDialect::kTorchScript).status());
  ATELIER_ASSIGN_OR_RETURN(const Storages storages, DeclaredStorages(arena));
  for (const auto& [key, storage] : storages) {
    const std::string entry = archive + "/" + std::string(key);
    const std::optional<std::uint64_t> bytes =
        CheckedMultiply(storage.elements, c10::elementSize(storage.type));
    if (!bytes || (*bytes > 0 && (!zip.hasRecord(entry) || zip.getRecordSize(entry) < *bytes))) {
      return DamagedPickle("a tensor's values are missing or cut off");
    }
  }
  for (const PickleNode& node : arena.nodes()) {
    if (node.kind == PickleNode::Kind::kTensor) {
      ATELIER_RETURN_IF_ERROR(ViewOf(node, storages).status());
    }
  }
  return absl::OkStatus();
}

bool IsAllowed(const torch::jit::Node& node) {
  const std::string_view name = node.kind().toUnqualString();
  return node.kind().is_aten() ? IsAllowedTensorOperator(name)
                               : node.kind().is_prim() && IsAllowedLanguageOperator(name);
}

// The first operation in `block`, or inside its operations, that is not allowed; nullptr: none.
const torch::jit::Node* FindForeign(const torch::jit::Block& block, int depth) {
  for (const torch::jit::Node* node : block.nodes()) {
    if (depth > kMaxDepth || !IsAllowed(*node)) {
      return node;
    }
    for (const torch::jit::Block* inner : node->blocks()) {
      if (const torch::jit::Node* found = FindForeign(*inner, depth + 1)) {
        return found;
      }
    }
  }
  return nullptr;
}

// Compiles it, if that has not happened yet.
absl::Status CheckFunction(torch::jit::Function& function) {
  const torch::jit::GraphFunction* graph = torch::jit::tryToGraphFunction(function);
  if (graph == nullptr) {
    return NotAllowed("holds a function that is not TorchScript");
  }
  // No allowed operation carries a graph of its own, so blocks are all there is.
  const torch::jit::Node* foreign = FindForeign(*graph->graph()->block(), 0);
  if (foreign != nullptr) {
    return NotAllowed("uses " + Printable(foreign->kind().toQualString()) +
                      ", which picture networks have no need of");
  }
  return absl::OkStatus();
}

// Compiling a function may add the functions of a class that it is the first to name.
absl::Status CheckFunctions(const torch::jit::CompilationUnit& unit) {
  std::vector<torch::jit::Function*> functions;
  for (std::size_t checked = 0; checked < (functions = unit.get_functions()).size();) {
    for (; checked < functions.size(); ++checked) {
      ATELIER_RETURN_IF_ERROR(CheckFunction(*functions[checked]));
    }
  }
  return absl::OkStatus();
}

bool HasItsType(const c10::IValue& value, const c10::Type& type, int depth);

bool AttributesHaveTheirTypes(const c10::ivalue::Object& object, int depth) {
  const c10::ClassType& type = *object.type();
  if (object.slots().size() != type.numAttributes()) {
    return false;
  }
  for (std::size_t i = 0; i < type.numAttributes(); ++i) {
    if (!HasItsType(object.getSlot(i), *type.getAttribute(i), depth)) {
      return false;
    }
  }
  return true;
}

// Containers hold plain values only: their elements' types are looked at when they are used.
bool IsPlain(const c10::IValue& value, int depth) {
  if (depth > kMaxDepth) {
    return false;
  }
  if (value.isTuple() || value.isList()) {
    const auto elements =
        value.isTuple() ? value.toTupleRef().elements().vec() : value.toList().vec();
    for (const c10::IValue& element : elements) {
      if (!IsPlain(element, depth + 1)) {
        return false;
      }
    }
    return true;
  }
  return value.isTensor() || value.isNone() || value.isBool() || value.isInt() ||
         value.isDouble() || value.isString() || value.isDevice();
}

bool HasItsType(const c10::IValue& value, const c10::Type& type, int depth) {
  if (depth > kMaxDepth) {
    return false;
  }
  if (value.isObject()) {
    const c10::ivalue::Object& object = value.toObjectRef();
    return *object.type() == type && AttributesHaveTheirTypes(object, depth + 1);
  }
  return IsPlain(value, depth) && value.type()->isSubtypeOf(type);
}

}  // namespace

std::shared_ptr<caffe2::serialize::ReadAdapterInterface> MemoryArchive(std::string_view bytes) {
  return std::make_shared<MemoryReader>(bytes);
}

absl::Status CheckTorchScriptArchive(std::string_view bytes) {
  PyTorchStreamReader zip(MemoryArchive(bytes));
  ATELIER_RETURN_IF_ERROR(CheckSizes(zip, bytes.size()));
  if (!zip.hasRecord("data.pkl") || !zip.hasRecord("constants.pkl")) {
    return absl::InvalidArgumentError("The file is not TorchScript; save it with torch.jit.save.");
  }
  ATELIER_RETURN_IF_ERROR(CheckTensors(zip, "data"));
  ATELIER_RETURN_IF_ERROR(CheckTensors(zip, "constants"));
  for (const std::string& name : zip.getAllRecords()) {
    if (name.starts_with("code/") && name.ends_with(".py")) {
      const std::optional<std::string> foreign = FindForeignName(ReadEntry(zip, name));
      if (foreign) {
        return NotAllowed("uses " + Printable(*foreign) +
                          ", which picture networks have no need of");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTorchScriptModule(const torch::jit::Module& module) {
  const c10::intrusive_ptr<c10::ivalue::Object> object = module._ivalue();
  if (!AttributesHaveTheirTypes(*object, 0)) {
    return NotAllowed("has an attribute that is not of its type, or of an unusual type");
  }
  return CheckFunctions(*object->compilation_unit());
}

}  // namespace atelier::models
