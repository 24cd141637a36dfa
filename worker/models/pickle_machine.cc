#include "worker/models/pickle_machine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "worker/models/complaints.h"
#include "worker/models/pickle_stack.h"

namespace atelier::models {
namespace {

using Kind = PickleNode::Kind;
using Items = PickleStack::Items;

constexpr std::size_t kMaxNodes = 1'000'000;
constexpr std::size_t kMaxOperations = 4'000'000;

constexpr std::string_view kOrderedDict = "collections\nOrderedDict";
constexpr std::string_view kRebuildTensorV2 = "torch._utils\n_rebuild_tensor_v2";
constexpr std::string_view kRebuildTensor = "torch._utils\n_rebuild_tensor";
constexpr std::string_view kRebuildParameter = "torch._utils\n_rebuild_parameter";
constexpr std::string_view kProgramPrefix = "__torch__";
constexpr std::string_view kNativeClasses = "__torch__.torch.classes";
constexpr std::string_view kTypedContainers = "torch.jit._pickle\n";
constexpr std::string_view kStoragePrefix = "torch\n";
constexpr std::string_view kStorageSuffix = "Storage";

constexpr char kForeign[] = "it asks for something that no state dict needs";
constexpr char kTooLarge[] = "it holds more objects than a state dict can need";

// Opcodes of pickle protocol 2 (Python's Lib/pickletools.py).
enum Opcode : unsigned char {
  kMark = '(',
  kEmptyTuple = ')',
  kStop = '.',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
};

// A class that the archive itself defines in TorchScript, not one that is written in C++: those
// read their state unchecked.
bool IsProgramClass(std::string_view name) {
  std::string dotted(name);
  std::ranges::replace(dotted, '\n', '.');
  return dotted.starts_with(kProgramPrefix) && !dotted.starts_with(kNativeClasses);
}

bool IsKnownGlobal(std::string_view name, PickleDialect dialect) {
  const bool is_storage = name.starts_with(kStoragePrefix) && name.ends_with(kStorageSuffix);
  if (dialect == PickleDialect::kTorchScript) {
    return name == kOrderedDict || name == kRebuildTensorV2 || is_storage ||
           name.starts_with(kTypedContainers) || IsProgramClass(name);
  }
  return name == kOrderedDict || name == kRebuildTensorV2 || name == kRebuildTensor ||
         name == kRebuildParameter || is_storage;
}

// Steps return false when the pickle is not acceptable; the stack keeps the reason.
class Machine {
 public:
  Machine(std::string_view bytes, PickleArena& arena, PickleDialect dialect)
      : stack_(bytes, arena), dialect_(dialect) {}

  const PickleNode* Run() {
    for (std::size_t operations = 0; operations < kMaxOperations; ++operations) {
      unsigned char opcode = 0;
      if (!stack_.Read(opcode)) {
        return nullptr;
      }
      if (opcode == kStop) {
        return stack_.Result();
      }
      if (!Step(opcode)) {
        return nullptr;
      }
    }
    return stack_.Fail(kTooLarge);
  }

  std::size_t position() const { return stack_.position(); }
  const std::string& reason() const { return stack_.reason(); }

 private:
  bool Step(unsigned char opcode) {
    switch (opcode) {
      case kProto: {
        unsigned char version = 0;
        return stack_.Read(version);
      }
      case kNone:
        return stack_.PushNew(Kind::kNone) != nullptr;
      case kNewTrue:
        return stack_.PushNumber(Kind::kBool, 1);
      case kNewFalse:
        return stack_.PushNumber(Kind::kBool, 0);
      case kBinInt:
        return PushInteger<std::int32_t>();
      case kBinInt1:
        return PushInteger<std::uint8_t>();
      case kBinInt2:
        return PushInteger<std::uint16_t>();
      case kLong1:
        return PushLong();
      case kBinFloat: {
        std::uint64_t value = 0;
        return stack_.Read(value) && stack_.PushNew(Kind::kOpaque) != nullptr;
      }
      case kBinUnicode:
        return PushString();
      case kGlobal:
        return PushGlobal();
      case kReduce:
        return Reduce();
      case kBinPersId:
        return PushStorage();
      case kBuild:
        return IgnoreState();
      default:
        return StepMemo(opcode);
    }
  }

  bool StepMemo(unsigned char opcode) {
    switch (opcode) {
      case kBinPut:
      case kBinGet: {
        std::uint8_t slot = 0;
        return stack_.Read(slot) &&
               (opcode == kBinPut ? stack_.Memorize(slot) : stack_.Recall(slot));
      }
      case kLongBinPut:
      case kLongBinGet: {
        std::uint32_t slot = 0;
        return stack_.Read(slot) &&
               (opcode == kLongBinPut ? stack_.Memorize(slot) : stack_.Recall(slot));
      }
      default:
        return StepContainer(opcode);
    }
  }

  bool StepContainer(unsigned char opcode) {
    Items items;
    switch (opcode) {
      case kMark:
        stack_.Mark();
        return true;
      case kEmptyTuple:
        return stack_.PushNew(Kind::kTuple) != nullptr;
      case kEmptyList:
        return stack_.PushNew(Kind::kList) != nullptr;
      case kEmptyDict:
        return stack_.PushNew(Kind::kDict) != nullptr;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return stack_.PopMany(opcode - kTuple1 + 1, items) &&
               stack_.PushItems(Kind::kTuple, std::move(items));
      case kTuple:
        return stack_.PopToMark(items) && stack_.PushItems(Kind::kTuple, std::move(items));
      case kAppend:
        return stack_.PopMany(1, items) && Extend(Kind::kList, items);
      case kAppends:
        return stack_.PopToMark(items) && Extend(Kind::kList, items);
      case kSetItem:
        return stack_.PopMany(2, items) && Extend(Kind::kDict, items);
      case kSetItems:
        return stack_.PopToMark(items) && items.size() % 2 == 0 && Extend(Kind::kDict, items);
      default:
        return dialect_ == PickleDialect::kTorchScript ? StepScript(opcode)
                                                       : stack_.Refuse(kForeign);
    }
  }

  bool StepScript(unsigned char opcode) {
    switch (opcode) {
      case kNewObj:
        return stack_.Pop(Kind::kTuple) != nullptr && stack_.Pop(Kind::kGlobal) != nullptr &&
               stack_.PushNew(Kind::kOpaque) != nullptr;
      default:
        return stack_.Refuse(kForeign);
    }
  }

  template <typename T>
  bool PushInteger() {
    T value = 0;
    return stack_.Read(value) && stack_.PushNumber(Kind::kInt, value);
  }

  // A little-endian two's complement number of up to 8 bytes.
  bool PushLong() {
    unsigned char length = 0;
    if (!stack_.Read(length)) {
      return false;
    }
    if (length > sizeof(std::int64_t)) {
      return stack_.Refuse("a number in it is too large");
    }
    std::uint64_t value = 0;
    unsigned char byte = 0;
    for (unsigned i = 0; i < length; ++i) {
      if (!stack_.Read(byte)) {
        return false;
      }
      value |= static_cast<std::uint64_t>(byte) << (8 * i);
    }
    if (length > 0 && length < 8 && (byte & 0x80) != 0) {
      value |= ~std::uint64_t{0} << (8 * length);
    }
    return stack_.PushNumber(Kind::kInt, static_cast<std::int64_t>(value));
  }

  bool PushString() {
    std::uint32_t length = 0;
    std::string_view text;
    return stack_.Read(length) && stack_.ReadText(length, text) &&
           stack_.PushText(Kind::kString, text);
  }

  bool PushGlobal() {
    std::string_view name;
    if (!stack_.ReadName(name)) {
      return false;
    }
    if (IsKnownGlobal(name, dialect_)) {
      return stack_.PushText(Kind::kGlobal, name);
    }
    std::string dotted(name);
    std::ranges::replace(dotted, '\n', '.');
    return stack_.Refuse("it asks for " + Printable(dotted) +
                         ", which no state dict needs; nothing of it was run");
  }

  // Moves `items` into the container on top of the stack.
  bool Extend(Kind kind, const Items& items) {
    PickleNode* container = stack_.Pop(kind);
    if (container == nullptr) {
      return false;
    }
    container->items.insert(container->items.end(), items.begin(), items.end());
    return stack_.Push(container) != nullptr;
  }

  // A call of one of the allowed names; its meaning is ours, nothing is looked up.
  bool Reduce() {
    const PickleNode* arguments = stack_.Pop(Kind::kTuple);
    const PickleNode* callee = arguments == nullptr ? nullptr : stack_.Pop(Kind::kGlobal);
    if (callee == nullptr) {
      return false;
    }
    const Items& items = arguments->items;
    const auto is = [&items](std::size_t i, Kind kind) {
      return i < items.size() && items[i]->kind == kind;
    };
    if (callee->text == kOrderedDict && items.empty()) {
      return stack_.PushNew(Kind::kDict) != nullptr;
    }
    if (callee->text == kRebuildParameter && is(0, Kind::kTensor)) {
      return stack_.PushItems(Kind::kTensor, items[0]->items);
    }
    const bool is_tensor =
        (callee->text == kRebuildTensor && items.size() == 4) ||
        (callee->text == kRebuildTensorV2 && (items.size() == 6 || items.size() == 7));
    if (is_tensor && is(0, Kind::kStorage) && is(1, Kind::kInt) && is(2, Kind::kTuple) &&
        is(3, Kind::kTuple)) {
      return stack_.PushItems(Kind::kTensor, Items(items.begin(), items.begin() + 4));
    }
    if (dialect_ == PickleDialect::kTorchScript && callee->text.starts_with(kTypedContainers)) {
      return stack_.PushNew(Kind::kOpaque) != nullptr;
    }
    return stack_.Refuse(kForeign);
  }

  // ("storage", type, key, device, elements[, None]). A view into another storage (before PyTorch
  // 0.4) is refused.
  bool PushStorage() {
    const PickleNode* id = stack_.Pop(Kind::kTuple);
    if (id == nullptr) {
      return false;
    }
    const Items& items = id->items;
    const bool whole = items.size() == 5 || (items.size() == 6 && items[5]->kind == Kind::kNone);
    if (!whole || items[0]->kind != Kind::kString || items[0]->text != "storage" ||
        items[1]->kind != Kind::kGlobal || items[2]->kind != Kind::kString ||
        items[4]->kind != Kind::kInt) {
      return stack_.Refuse("a storage in it is malformed");
    }
    PickleNode* storage = stack_.PushNew(Kind::kStorage);
    if (storage != nullptr) {
      storage->text = items[2]->text;
      storage->number = items[4]->number;
      storage->items = {items[1]};
    }
    return storage != nullptr;
  }

  // State dicts carry the modules' version numbers as an attribute. The attributes of a TorchScript
  // object need not be kept: its tensors are in the arena.
  bool IgnoreState() {
    const bool script = dialect_ == PickleDialect::kTorchScript;
    const PickleNode* state = script ? stack_.Pop() : stack_.Pop(Kind::kDict);
    const PickleNode* target = state == nullptr ? nullptr : stack_.Top();
    if (target == nullptr) {
      return false;
    }
    if (script) {
      return target->kind == Kind::kOpaque || stack_.Refuse(kForeign);
    }
    return target->kind == Kind::kDict || stack_.Refuse(kForeign);
  }

  PickleStack stack_;
  const PickleDialect dialect_;
};

}  // namespace

PickleNode* PickleArena::New(PickleNode::Kind kind) {
  if (nodes_.size() >= kMaxNodes) {
    return nullptr;
  }
  nodes_.push_back(PickleNode{.kind = kind});
  return &nodes_.back();
}

absl::StatusOr<const PickleNode*> RunPickle(std::string_view bytes, PickleArena& arena,
                                            std::size_t& used, PickleDialect dialect) {
  Machine machine(bytes, arena, dialect);
  const PickleNode* result = machine.Run();
  if (result == nullptr) {
    return DamagedPickle(machine.reason());
  }
  used = machine.position();
  return result;
}

absl::Status DamagedPickle(std::string_view what) {
  return absl::DataLossError(
      "The weights file is damaged or not a state dict: " + std::string(what) + ".");
}

}  // namespace atelier::models
