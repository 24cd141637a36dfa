// `atelier models import` and `atelier models export`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kBytes = (2 << 20) + 5;

std::string Weights() {
  std::string bytes(kBytes, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 31 >> 3U);
  }
  return bytes;
}

class ModelFilesTest : public CliTest {
 protected:
  // Exports `bytes`, told as `size` bytes with `sha256`.
  void Offer(const std::string& bytes, std::uint64_t size, const std::string& sha256) {
    server_.handlers().export_model = [=, this](const v1::ExportModelRequest& request) {
      asked_ = request;
      std::vector<v1::ExportModelResponse> parts(2);
      v1::ExportModelHeader& header = *parts[0].mutable_header();
      header.set_model("oil");
      header.set_version(3);
      header.set_format(request.format());
      header.set_file_name("oil-3.pth");
      header.set_size(size);
      header.set_sha256(sha256);
      parts[1].set_chunk(bytes);
      return parts;
    };
  }

  v1::ExportModelRequest asked_;
};

TEST_F(ModelFilesTest, ImportSendsTheFileInPiecesAndPrintsTheVersion) {
  Write("oil.pth", Weights());
  Write("card.md", "# Mine");
  v1::ImportModelHeader header;
  std::string got;
  server_.handlers().import_model = [&](const std::vector<v1::ImportModelRequest>& parts) {
    header = parts.at(0).header();
    for (std::size_t i = 1; i < parts.size(); ++i) {
      EXPECT_LE(parts[i].chunk().size(), 4u << 20);
      got += parts[i].chunk();
    }
    v1::ImportModelResponse response;
    response.mutable_model()->set_name("oil");
    response.mutable_model()->set_version(2);
    response.mutable_model()->set_family("cyclegan");
    return response;
  };
  const ProcessResult text = Run({"models", "import", "oil", "oil.pth"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out, "oil@2\n");
  EXPECT_EQ(text.err, "");
  EXPECT_TRUE(got == Weights());
  EXPECT_EQ(header.name(), "oil");
  EXPECT_EQ(header.size(), kBytes);
  EXPECT_EQ(header.sha256(), Sha256Hex(Weights()));
  EXPECT_EQ(header.file_name(), "oil.pth");
  EXPECT_EQ(header.family(), "");
  EXPECT_EQ(header.precision(), v1::PRECISION_UNSPECIFIED);

  const ProcessResult json =
      Run({"models", "import", "oil", "oil.pth", "--family", "cut", "--precision", "bf16",
           "--source", "a friend", "--license", "CC0", "--card", "card.md", "--output", "json"});
  EXPECT_EQ(json.exit_code, 0) << json.err;
  EXPECT_THAT(json.out, StartsWith(R"({"model":{"name":"oil","version":2,)"));
  EXPECT_EQ(header.family(), "cut");
  EXPECT_EQ(header.precision(), v1::PRECISION_BF16);
  EXPECT_EQ(header.source(), "a friend");
  EXPECT_EQ(header.license(), "CC0");
  EXPECT_EQ(header.card(), "# Mine");
}

TEST_F(ModelFilesTest, ImportTellsWhyTheServerRefuses) {
  Write("oil.pth", "x");
  server_.handlers().import_model =
      [](const std::vector<v1::ImportModelRequest>&) -> absl::StatusOr<v1::ImportModelResponse> {
    return absl::InvalidArgumentError("This is a discriminator.");
  };
  const ProcessResult result = Run({"models", "import", "oil", "oil.pth"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "atelier: This is a discriminator.\n");
}

TEST_F(ModelFilesTest, ImportOfWhatIsNotThereAsksNoServer) {
  EXPECT_EQ(Run({"models", "import", "oil", "none.pth"}).err,
            "atelier: cannot read \"none.pth\": no such file or folder\n");
  Write("oil.pth", "x");
  EXPECT_EQ(Run({"models", "import", "oil", "oil.pth", "--card", "none.md"}).err,
            "atelier: cannot read \"none.md\": no such file or folder\n");
  const ProcessResult int8 = Run({"models", "import", "oil", "oil.pth", "--precision", "int8"});
  EXPECT_EQ(int8.exit_code, 2);
  EXPECT_THAT(int8.err, HasSubstr("a quantize job"));
}

TEST_F(ModelFilesTest, ExportWritesTheFileThatItsExtensionSays) {
  const std::string bytes = Weights();
  Offer(bytes, bytes.size(), Sha256Hex(bytes));
  for (const auto& [file, format] : {std::pair{"a.safetensors", v1::WEIGHTS_FORMAT_SAFETENSORS},
                                     {"a.pth", v1::WEIGHTS_FORMAT_PTH},
                                     {"a.pt", v1::WEIGHTS_FORMAT_TORCHSCRIPT},
                                     {"a.ts", v1::WEIGHTS_FORMAT_TORCHSCRIPT}}) {
    const ProcessResult result = Run({"models", "export", "oil@best", file});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "wrote " + std::string(file) + " (oil@3, 2.0 MiB)\n");
    EXPECT_EQ(asked_.model(), "oil@best");
    EXPECT_EQ(asked_.format(), format);
    EXPECT_TRUE(ReadFile(folder_ / file, 4 << 20).value_or("") == bytes);
  }
  const ProcessResult json =
      Run({"models", "export", "oil", "oil.bin", "--format", "pth", "--output", "json"});
  EXPECT_EQ(json.exit_code, 0) << json.err;
  EXPECT_EQ(asked_.format(), v1::WEIGHTS_FORMAT_PTH);
  EXPECT_THAT(json.out, StartsWith(R"({"model":"oil","version":3,"format":"WEIGHTS_FORMAT_PTH",)"));
}

TEST_F(ModelFilesTest, ExportKeepsTheOldFileWhenOtherBytesCome) {
  Write("oil.pth", "old");
  for (const auto& [size, sha256] : {std::pair{std::uint64_t{4}, Sha256Hex("wxyz")},
                                     {std::uint64_t{4}, Sha256Hex("abcd")},
                                     {std::uint64_t{2}, Sha256Hex("abc")}}) {
    Offer("abc", size, sha256);
    const ProcessResult result = Run({"models", "export", "oil", "oil.pth"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, StartsWith("atelier: the "));
    EXPECT_EQ(Read("oil.pth"), "old");
  }
  EXPECT_EQ(Run({"models", "export", "oil", "no/such/oil.pth"}).err,
            "atelier: cannot write \"oil.pth\": no such file or folder\n");
}

}  // namespace
}  // namespace atelier::test
