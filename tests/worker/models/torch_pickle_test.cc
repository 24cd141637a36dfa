#include "worker/models/torch_pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/worker/models/golden_files.h"
#include "worker/models/safetensors.h"

namespace atelier::models {
namespace {

using std::string_literals::operator""s;

class TorchSaveLayouts : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Both, TorchSaveLayouts, testing::Values("old", "zip"),
                         [](const auto& info) { return info.param; });

TEST_P(TorchSaveLayouts, GiveTheTensorsThatPythonSaved) {
  const absl::StatusOr<TensorMap> read =
      ReadTorchPickle(GoldenFile("state_dict_" + GetParam() + ".pth"), kMaxBytes);
  ASSERT_TRUE(read.ok()) << read.status();
  const TensorMap expected =
      ReadSafetensors(GoldenFile("state_dict.safetensors"), kMaxBytes).value().tensors;
  ASSERT_EQ(read->size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(read->contains(name)) << name;
    EXPECT_EQ(read->at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(read->at(name), tensor)) << name;
    EXPECT_TRUE(read->at(name).is_contiguous()) << name;
  }
}

TEST_P(TorchSaveLayouts, CutOffAnywhereAreDataLoss) {
  const std::string whole =
      ReadFile(GoldenFile("state_dict_" + GetParam() + ".pth"), kMaxBytes).value();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(ParseTorchPickle(std::string_view(whole).substr(0, length)).status().code(),
              absl::StatusCode::kDataLoss)
        << length;
  }
}

TEST_P(TorchSaveLayouts, WithAnyDamagedByteAreReadOrRefused) {
  const std::string whole =
      ReadFile(GoldenFile("state_dict_" + GetParam() + ".pth"), kMaxBytes).value();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const unsigned char flip : {0x01, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      const absl::StatusOr<TensorMap> read = ParseTorchPickle(damaged);
      EXPECT_TRUE(read.ok() || read.status().code() == absl::StatusCode::kDataLoss)
          << i << " " << read.status();
    }
  }
}

// Files of the old layout, by hand.
std::string Magic() { return "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.\x80\x02M\xe9\x03."; }
std::string SystemInfo() { return "\x80\x02}."; }

template <typename T>
std::string Bytes(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string Text(const std::string& text) {
  return "X" + Bytes(static_cast<std::uint32_t>(text.size())) + text;
}
std::string Int(std::int32_t value) { return "J" + Bytes(value); }

// The persistent id of a storage.
std::string StorageId(const std::string& type, const std::string& key, std::int32_t elements) {
  return "(" + Text("storage") + "ctorch\n" + type + "\n" + Text(key) + Text("cpu") +
         Int(elements) + "NtQ";
}

// A call of _rebuild_tensor_v2; sizes and strides are opcodes that leave a tuple.
std::string Tensor(const std::string& storage, const std::string& offset, const std::string& sizes,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + sizes + strides + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}

std::string OldFile(const std::string& object, const std::string& keys,
                    const std::string& storages) {
  return Magic() + SystemInfo() + "\x80\x02" + object + "." + "\x80\x02" + keys + "." + storages;
}

// A state dict {"w": tensor} over one float storage "0" of `elements`, of which the file holds
// `stored`.
std::string OneTensor(const std::string& tensor, std::int64_t stored) {
  return OldFile("}" + Text("w") + tensor + "s", "]" + Text("0") + "a",
                 Bytes(stored) + std::string(static_cast<std::size_t>(stored) * 4, '\0'));
}

std::string Two() { return Int(2) + "\x85"; }
std::string One() { return Int(1) + "\x85"; }

TEST(TorchPickle, ReadsAFileMadeByHand) {
  const auto read = ParseTorchPickle(
      OneTensor(Tensor(StorageId("FloatStorage", "0", 2), Int(0), Two(), One()), 2));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(torch::equal(read->at("w"), torch::zeros({2})));
}

struct Hostile {
  std::string name;
  std::string bytes;
};

std::vector<Hostile> HostileFiles() {
  const std::string storage = StorageId("FloatStorage", "0", 2);
  const std::string good = Tensor(storage, Int(0), Two(), One());
  const std::string big = Int(2147483647);
  const std::string huge_long = "\x8a\x08"s + std::string(7, '\xff') + "\x7f";
  const auto object = [](const std::string& opcodes) { return OldFile(opcodes, "]", ""); };
  return {
      {"OsSystem", object("cos\nsystem\n" + Text("echo harm") + "\x85R")},
      {"OsSystemInSystemInfo",
       Magic() + "\x80\x02"s + "cos\nsystem\n" + Text("echo harm") + "\x85R."},
      {"PosixSystem", object("cposix\nsystem\n" + Text("id") + "\x85R")},
      {"BuiltinsEval", object("cbuiltins\neval\n" + Text("1") + "\x85R")},
      {"TorchLoad", object("ctorch\nload\n" + Text("x") + "\x85R")},
      {"StorageCalled", object("ctorch\nFloatStorage\n" + Int(5) + "\x85R")},
      {"UnknownStorageType",
       OneTensor(Tensor(StorageId("EvilStorage", "0", 2), Int(0), Two(), One()), 2)},
      {"InstOpcode", object("(ios\nsystem\n")},
      {"ObjOpcode", object("(" + Text("x") + "o")},
      {"NewObjOpcode", object("ccollections\nOrderedDict\n)\x81")},
      {"StackGlobal", object(Text("os") + Text("system") + "\x93")},
      {"ExtensionRegistry", object("\x82\x01"s)},
      {"TextPersistentId", object("Pstorage\n")},
      {"BuildOnTensor", OneTensor(good + "}b", 2)},
      {"BuildWithText", object("}" + Text("x") + "b")},
      {"OrderedDictWithItems", object("ccollections\nOrderedDict\n]\x85R")},
      {"NameWithoutEnd", object("c" + std::string(1000, 'a'))},
      {"StackUnderflow", object("R")},
      {"PopThroughMark", object("}(" + Text("a") + "s")},
      {"MarkMissing", object("}u")},
      {"OddSetItems", object("}(" + Text("a") + "u")},
      {"MemoMissing", object("h\x05")},
      {"HugeMemoSlotMissing", object("j\xff\xff\xff\xff")},
      {"MemoOfNothing", object("q\x01")},
      {"TextBeyondEnd", object("X\xff\xff\xff\xffx")},
      {"NegativeLongLength", object("\x8b\xff\xff\xff\xff")},
      {"LongTooLong", object("\x8a\xff" + std::string(255, '\0'))},
      {"TwoObjects", object("NN")},
      {"NoObject", object("")},
      {"TopIsList", object("]")},
      {"TopIsTensor",
       OldFile(good, "]" + Text("0") + "a", Bytes(std::int64_t{2}) + std::string(8, '\0'))},
      {"ValueIsNumber", object("}" + Text("epoch") + Int(3) + "s")},
      {"KeyIsNumber", OneTensor(good, 2).replace(Magic().size() + SystemInfo().size() + 3,
                                                 Text("w").size(), Int(1))},
      {"SelfContainingList", object("]q\x01h\x01"
                                    "a"s)},
      {"ManyObjects", object("(" + std::string(1'200'000, 'N') + "t")},
      {"ManyRecalls", object("Nq\x01" +
                             [] {
                               std::string s;
                               for (int i = 0; i < 4'500'000; ++i) {
                                 s += "h\x01";
                               }
                               return s;
                             }())},
      {"ManyMarks", object(std::string(4'500'000, '('))},
      {"SizeBeyondStorage", OneTensor(Tensor(storage, Int(0), Int(3) + "\x85", One()), 2)},
      {"OffsetBeyondStorage", OneTensor(Tensor(storage, Int(1), Two(), One()), 2)},
      {"NegativeOffset", OneTensor(Tensor(storage, Int(-1), Two(), One()), 2)},
      {"OffsetOverflows", OneTensor(Tensor(storage, huge_long, Two(), One()), 2)},
      {"NegativeSize", OneTensor(Tensor(storage, Int(0), Int(-2) + "\x85", One()), 2)},
      {"NegativeStride", OneTensor(Tensor(storage, Int(1), Two(), Int(-1) + "\x85"), 2)},
      {"StrideBeyondStorage", OneTensor(Tensor(storage, Int(0), Two(), big + "\x85"), 2)},
      {"StrideOverflows", OneTensor(Tensor(storage, Int(0), Two(), huge_long + "\x85"), 2)},
      {"ZeroStrideBomb",
       OneTensor(Tensor(storage, Int(0), big + big + "\x86", Int(0) + Int(0) + "\x86"), 2)},
      {"SizesOverflow", OneTensor(Tensor(storage, Int(0), big + big + big + "\x87",
                                         Int(0) + Int(0) + Int(0) + "\x87"),
                                  2)},
      {"RanksDiffer", OneTensor(Tensor(storage, Int(0), Two(), Int(1) + Int(1) + "\x86"), 2)},
      {"TooManySides", OneTensor(Tensor(storage, Int(0),
                                        "(" + Int(1) + Int(1) + Int(1) + Int(1) + Int(1) + Int(1) +
                                            Int(1) + Int(1) + Int(1) + "t",
                                        "(" + Int(1) + Int(1) + Int(1) + Int(1) + Int(1) + Int(1) +
                                            Int(1) + Int(1) + Int(1) + "t"),
                                 2)},
      {"SizeIsText", OneTensor(Tensor(storage, Int(0), Text("2") + "\x85", One()), 2)},
      {"StorageLargerThanFile",
       OldFile("}" + Text("w") +
                   Tensor(StorageId("FloatStorage", "0", 2147483647), Int(0), Two(), One()) + "s",
               "]" + Text("0") + "a", Bytes(std::int64_t{2147483647}))},
      {"StorageOfNegativeLength",
       OldFile(
           "}" + Text("w") + Tensor(StorageId("FloatStorage", "0", -1), Int(0), Two(), One()) + "s",
           "]" + Text("0") + "a", Bytes(std::int64_t{-1}))},
      {"StorageLengthDiffers", OneTensor(good, 3)},
      {"StorageMissing", OldFile("}" + Text("w") + good + "s", "]", "")},
      {"StorageUnknown", OldFile("}" + Text("w") + good + "s", "]" + Text("1") + "a",
                                 Bytes(std::int64_t{2}) + std::string(8, '\0'))},
      {"StorageDescribedTwice",
       OldFile("}" + Text("w") + good + "s" + Text("v") +
                   Tensor(StorageId("LongStorage", "0", 2), Int(0), Two(), One()) + "s",
               "]" + Text("0") + "a", Bytes(std::int64_t{2}) + std::string(16, '\0'))},
      {"StorageIsView",
       OneTensor(Tensor("(" + Text("storage") + "ctorch\nFloatStorage\n" + Text("0") + Text("cpu") +
                            Int(2) + "(" + Text("1") + Int(0) + Int(2) + "ttQ",
                        Int(0), Two(), One()),
                 2)},
      {"NameTwice", OldFile("}" + Text("w") + good + "s" + Text("w") + good + "s",
                            "]" + Text("0") + "a", Bytes(std::int64_t{2}) + std::string(8, '\0'))},
      {"KeysAreNumbers", OldFile("}" + Text("w") + good + "s", "]" + Int(0) + "a",
                                 Bytes(std::int64_t{2}) + std::string(8, '\0'))},
      {"Protocol0", "(lp0\n."},
      {"OtherVersion",
       "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.\x80\x02M\xe8\x03."s + SystemInfo()},
      {"ZipOfNothing", "PK\3\4" + std::string(100, '\0')},
      {"Empty", ""},
  };
}

class HostilePickle : public testing::TestWithParam<Hostile> {};
INSTANTIATE_TEST_SUITE_P(Corpus, HostilePickle, testing::ValuesIn(HostileFiles()),
                         [](const auto& info) { return info.param.name; });

TEST_P(HostilePickle, IsDataLossWithABoundedSentence) {
  const absl::Status status = ParseTorchPickle(GetParam().bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  const std::string message(status.message());
  EXPECT_LT(message.size(), 300u);
  EXPECT_TRUE(std::ranges::all_of(message, [](char c) { return c >= ' ' && c < 0x7f; }));
}

TEST(TorchPickle, NamesTheCodeThatAFileAsksFor) {
  const absl::Status status =
      ParseTorchPickle(OldFile("cos\nsystem\n" + Text("echo harm") + "\x85R", "]", "")).status();
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("it asks for os.system, which no state dict needs"));
}

// A dict of one float tensor of one element, which shows storage "0".
std::string OneWeight(const std::string& name) {
  return "}" + Text(name) + Tensor(StorageId("FloatStorage", "0", 1), Int(0), One(), One()) + "s";
}
std::string Checkpoint(const std::string& items) {
  return OldFile("}" + items, "]" + Text("0") + "a", Bytes(std::int64_t{1}) + std::string(4, '\0'));
}
std::string Item(const std::string& name, const std::string& object) {
  return Text(name) + object + "s";
}

TEST(TorchPickle, FindsTheWeightsAmongTheOtherThingsOfACheckpoint) {
  const std::string weights = OneWeight("w");
  const std::string moments = "}" + Item("0", OneWeight("exp_avg"));
  const std::string rate = "G" + std::string(8, '\0');  // a float
  for (const std::string& items :
       {Item("state_dict", weights), Item("epoch", Int(3)) + Item("model", weights),
        Item("netG", weights) + Item("netD", OneWeight("d")) + Item("optimizer", moments),
        Item("model", "}" + Item("width", Int(64))) + Item("params", weights),
        Item("lr", rate) + Item("model_state_dict", weights),
        Item("state_dict", "}" + Item("generator", weights) + Item("best", Int(1)))}) {
    const auto read = ParseTorchPickle(Checkpoint(items));
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(read->size(), 1u);
    EXPECT_TRUE(read->contains("w"));
  }
}

TEST(TorchPickle, RefusesCheckpointsThatDoNotSayWhichWeightsAreMeant) {
  const auto message = [](const std::string& items) {
    const absl::Status status = ParseTorchPickle(Checkpoint(items)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    return std::string(status.message());
  };
  EXPECT_THAT(message(Item("generator", OneWeight("a")) + Item("netG", OneWeight("b"))),
              testing::HasSubstr("several sets of weights, generator, netG; save the one"));
  EXPECT_THAT(message(Item("G_A", OneWeight("a"))),
              testing::HasSubstr("neither at its top nor as state_dict, "));
  // Four deep.
  const std::string deep =
      Item("model", "}" + Item("model", "}" + Item("model", "}" + Item("model", OneWeight("a")))));
  EXPECT_THAT(message(deep), testing::HasSubstr("no dict of named tensors"));
  // A dict that holds itself.
  EXPECT_EQ(ParseTorchPickle(OldFile("}q\x01" + Item("model", "h\x01"), "]", "")).status().code(),
            absl::StatusCode::kDataLoss);
  // A number among the weights.
  EXPECT_THAT(message(Item("state_dict", OneWeight("a") + Item("step", Int(1)))),
              testing::HasSubstr("something other than named tensors"));
}

// As PyTorch's tutorial writes them: the weights in the middle of epochs, losses and moments.
TEST(TorchPickle, ReadsACheckpointOfPython) {
  const auto read = ReadTorchPickle(GoldenFile("checkpoint.pth"), kMaxBytes);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(read->at("model.1.weight").sizes(), (std::vector<std::int64_t>{2, 3, 1, 1}));
  EXPECT_TRUE(torch::equal(read->at("model.1.bias"), torch::tensor({0.5F, -0.5F})));
}

TEST(TorchPickle, BoundsTensorsThatShowOneStorageAgainAndAgain) {
  std::string object = "}" + Text("w0") +
                       Tensor(StorageId("FloatStorage", "0", 100'000) + "q\x01", Int(0),
                              Int(100'000) + "\x85", One()) +
                       "s";
  for (int i = 1; i < 10; ++i) {
    object +=
        Text("w" + std::to_string(i)) + Tensor("h\x01", Int(0), Int(100'000) + "\x85", One()) + "s";
  }
  const std::string file = OldFile(object, "]" + Text("0") + "a",
                                   Bytes(std::int64_t{100'000}) + std::string(400'000, '\0'));
  EXPECT_EQ(ParseTorchPickle(file).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace atelier::models
