// TorchScript of strangers: programs that do what no generator needs, and damaged archives.
#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "tests/golden/reference.h"
#include "tests/worker/models/golden_files.h"
#include "worker/models/torchscript.h"
#include "worker/models/torchscript_check.h"
#include "worker/models/torchscript_code.h"

namespace atelier::models {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string Saved(const torch::jit::Module& module) {
  std::ostringstream file;
  module.save(file);
  return std::move(file).str();
}

// A program with a parameter "scale" and a text "word".
std::string Program(const std::string& body, const std::string& more = "") {
  torch::jit::Module module("Program");
  module.register_parameter("scale", torch::ones({4}), /*is_buffer=*/false);
  module.register_attribute("word", c10::StringType::get(), "word");
  module.define(more + "\ndef forward(self, x: Tensor):\n    " + body + "\n");
  return Saved(module);
}

TEST(TorchScriptGenerator, TakesAProgramMadeByHand) {
  const auto program = TorchScriptGenerator::Parse(Program("return x * self.scale[0]"));
  ASSERT_TRUE(program.ok()) << program.status();
  const torch::Tensor picture = golden::Picture(16, 16);
  EXPECT_TRUE(torch::equal((*program)->forward(picture), picture));
  // A picture outside of the range, as far as the probe has not seen it, is cut off.
  EXPECT_LE((*program)->forward(picture * 3.0).abs().max().item<double>(), 1.0);
}

struct Refusal {
  std::string name;
  std::string body;
  std::string because;
  std::string more;
};

std::vector<Refusal> Refusals() {
  return {
      {"Tuple", "return (x, x)", "must return one tensor"},
      {"Nothing", "return None", "must return one tensor"},
      {"OneChannel", "return x.mean([1], True)", "returns [1, 1, 256, 768]"},
      {"HalfSize", "return x[:, :, ::2, ::2]", "returns [1, 3, 128, 384]"},
      {"Integers", "return (x * 100.0).to(3)", "floating-point"},
      {"NotFinite", "return x / 0.0", "not finite"},
      {"Pixels", "return (x + 1.0) * 127.5", "outside"},
      {"Fails", "return x.view([1])", "fails for a tensor of shape"},
      {"WritesFiles", "torch.save(x, '/tmp/atelier-harm')\n    return x", "torch.save"},
      {"ReadsFiles", "return torch.from_file('/etc/passwd', False, 10)", "torch.from_file"},
      {"ReadsFreedMemory", "return torch.empty_like(x)", "torch.empty_like"},
      {"ChangesGlobals", "torch.manual_seed(1)\n    return x", "torch.manual_seed"},
      {"Prints", "print(self.word)\n    return x", "prim::Print"},
      {"KeepsState", "self.word = 'other'\n    return x", "prim::SetAttr"},
      {"MethodNotAllowed", "return x.resize_([1])", "resize_"},
      {"SetState", "return x", "__setstate__",
       "def __setstate__(self, x: int) -> None:\n    pass\n"},
  };
}

class RefusedProgram : public testing::TestWithParam<Refusal> {};
INSTANTIATE_TEST_SUITE_P(Corpus, RefusedProgram, testing::ValuesIn(Refusals()),
                         [](const auto& info) { return info.param.name; });

TEST_P(RefusedProgram, SaysWhy) {
  const absl::Status status =
      TorchScriptGenerator::Parse(Program(GetParam().body, GetParam().more)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(Message(status), HasSubstr(GetParam().because));
  EXPECT_FALSE(fs::exists("/tmp/atelier-harm"));
}

// The archive with every entry passed through `edit`.
std::string Edited(const std::string& bytes,
                   const std::function<std::string(const std::string&, std::string)>& edit) {
  caffe2::serialize::PyTorchStreamReader from(MemoryArchive(bytes));
  std::string edited;
  caffe2::serialize::PyTorchStreamWriter to([&edited](const void* data, std::size_t length) {
    edited.append(static_cast<const char*>(data), length);
    return length;
  });
  for (const std::string& name : from.getAllRecords()) {
    if (name == "version" || name == ".data/serialization_id") {
      continue;
    }
    std::string contents(from.getRecordSize(name), '\0');
    from.getRecord(name, contents.data(), contents.size());
    contents = edit(name, std::move(contents));
    to.writeRecord(name, contents.data(), contents.size());
  }
  to.writeEndOfFile();
  return edited;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// Of "scale": four floats; K is pickle's opcode for a small number, J for a larger one.
std::string WithPickle(const std::string& from, const std::string& to) {
  return Edited(Program("return x * self.scale[0]"),
                [&](const std::string& name, std::string contents) {
                  return name == "data.pkl" ? Replaced(std::move(contents), from, to) : contents;
                });
}

std::string WithCode(const std::string& from, const std::string& to) {
  return Edited(Program("return x * self.scale[0]"),
                [&](const std::string& name, std::string contents) {
                  return name.ends_with(".py") ? Replaced(std::move(contents), from, to) : contents;
                });
}

TEST(TorchScriptArchive, IsStillGoodWhenNothingIsEdited) {
  const auto program = TorchScriptGenerator::Parse(WithPickle("nothing", "nothing"));
  EXPECT_TRUE(program.ok()) << program.status();
}

TEST(TorchScriptArchive, WhoseTensorsAreLargerThanTheirBytesIsDamaged) {
  using std::string_literals::operator""s;
  // The number of elements, the shape, and both.
  const std::string million = "J\x40\x42\x0f\x00"s;
  const std::string storage_end = "K\x04tQ";
  const std::string shape = "(K\x04t";
  const std::string larger_storage = million + "tQ";
  const std::string larger_shape = "(" + million + "t";
  const std::string good = WithPickle("nothing", "nothing");
  const std::string storage_only = WithPickle(storage_end, larger_storage);
  const std::string shape_only = WithPickle(shape, larger_shape);
  EXPECT_NE(storage_only, good);
  EXPECT_NE(shape_only, good);
  for (const std::string& bytes : {storage_only, shape_only}) {
    EXPECT_EQ(TorchScriptGenerator::Parse(bytes).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(TorchScriptArchive, WhosePickleNamesForeignThingsIsDamaged) {
  for (const char* name :
       {"cos\nsystem\n", "c__torch__.torch.classes.quantized\nConv2dPackedParamsBase\n",
        "c__torch__.torch\nclasses.quantized.Conv2dPackedParamsBase\n", "ctorch\nload\n",
        "ctorch._utils\n_rebuild_qtensor\n"}) {
    const std::string bytes = WithPickle("ctorch._utils\n_rebuild_tensor_v2\n", name);
    EXPECT_EQ(TorchScriptGenerator::Parse(bytes).status().code(), absl::StatusCode::kDataLoss)
        << name;
  }
}

TEST(TorchScriptArchive, WhoseAttributeIsNotOfItsTypeIsRefused) {
  const absl::Status status =
      TorchScriptGenerator::Parse(WithCode("word : str", "word : int")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("not of its type"));
}

TEST(TorchScriptArchive, RunsNothingWhileItIsLoaded) {
  // Values of constants and default arguments are evaluated by the compiler.
  for (const auto& [from, to] :
       {std::pair{"word : str",
                  "word : str\n  c : Final[int] = torch.save(1, '/tmp/atelier-harm')"},
        std::pair{"x: Tensor", "x: Tensor, y: int=torch.save(1, '/tmp/atelier-harm')"},
        std::pair{"x: Tensor",
                  "x: Tensor, y: int=getattr(torch, 'save')(1, '/tmp/atelier-harm')"}}) {
    const std::string bytes = WithCode(from, to);
    const absl::Status status = TorchScriptGenerator::Parse(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(Message(status), HasSubstr("torch"));
    EXPECT_FALSE(fs::exists("/tmp/atelier-harm"));
  }
}

TEST(TorchScriptArchive, CutOffOrMadeUpIsDamaged) {
  const std::string whole = Program("return x");
  for (std::size_t length = 0; length < whole.size(); length += 97) {
    EXPECT_EQ(TorchScriptGenerator::Parse(whole.substr(0, length)).status().code(),
              absl::StatusCode::kDataLoss)
        << length;
  }
  EXPECT_EQ(TorchScriptGenerator::Parse("not a zip file").status().code(),
            absl::StatusCode::kDataLoss);
  const absl::Status state_dict =
      TorchScriptGenerator::Parse(
          ReadFile(fs::path(ATELIER_SOURCE_DIR) / "tests/golden/interchange_zip.pth", 64u << 20)
              .value())
          .status();
  EXPECT_EQ(state_dict.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(state_dict), HasSubstr("torch.jit.save"));
}

TEST(TorchScriptArchive, WithAnyDamagedByteIsReadOrRefused) {
  const std::string whole = Program("return x * self.scale[0]");
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x81);
    const absl::StatusOr<std::shared_ptr<TorchScriptGenerator>> read =
        TorchScriptGenerator::Parse(damaged);
    EXPECT_TRUE(read.ok() || read.status().code() == absl::StatusCode::kDataLoss ||
                read.status().code() == absl::StatusCode::kInvalidArgument ||
                read.status().code() == absl::StatusCode::kResourceExhausted)
        << i << " " << read.status();
  }
}

TEST(TorchScriptArchive, ThatInflatesTooFarIsRefused) {
  std::string bomb;
  caffe2::serialize::PyTorchStreamWriter zip([&bomb](const void* data, std::size_t length) {
    bomb.append(static_cast<const char*>(data), length);
    return length;
  });
  const std::string zeros(65u << 20, '\0');
  zip.writeRecord("code/zeros.py", zeros.data(), zeros.size(), /*compress=*/true);
  zip.writeEndOfFile();
  ASSERT_LT(bomb.size(), 1u << 20);
  const absl::Status status = TorchScriptGenerator::Parse(bomb).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("larger than its file"));
}

TEST(TorchScriptCode, NamesWhatIsForeign) {
  EXPECT_FALSE(FindForeignName("x = torch.conv2d(a, b)\ny = torch.relu_(x)").has_value());
  EXPECT_FALSE(FindForeignName("ops.prim.RaiseException(\"no\")").has_value());
  EXPECT_FALSE(FindForeignName("c : __torch__.torch.nn.modules.conv.Conv2d").has_value());
  EXPECT_FALSE(FindForeignName("self.ops.forward(my_torch, torches)").has_value());
  EXPECT_EQ(FindForeignName("torch.save(x, \"f\")"), "torch.save");
  EXPECT_EQ(FindForeignName("t = torch\nt.save(x)"), "torch");
  EXPECT_EQ(FindForeignName("getattr(torch, \"sa\\x76e\")"), "torch");
  EXPECT_EQ(FindForeignName("torch .save(x)"), "torch");
  EXPECT_EQ(FindForeignName("ops.aten.save(x)"), "ops.aten.save");
  EXPECT_EQ(FindForeignName("o = ops"), "ops");
  EXPECT_EQ(FindForeignName("ops.quantized.conv2d(x)"), "ops.quantized.conv2d");
  EXPECT_EQ(FindForeignName("__torch__.torch.classes.quantized.X()"), "torch.classes.quantized.X");
  EXPECT_EQ(FindForeignName("getattr(__torch__.torch, \"classes\")"), "torch");
  EXPECT_EQ(FindForeignName("getattr(__torch__, \"torch\")"), "__torch__");
}

}  // namespace
}  // namespace atelier::models
