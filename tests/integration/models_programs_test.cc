// Models as files, through the real programs: import, export, and what goes wrong on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/api/model_file.h"
#include "common/errors.h"
#include "common/files.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

fs::path Golden(const std::string& name) {
  return fs::path(ATELIER_SOURCE_DIR) / "tests/golden" / name;
}

cv::Mat DecodeInColor(const std::string& bytes) {
  return cv::imdecode(std::vector<unsigned char>(bytes.begin(), bytes.end()), cv::IMREAD_COLOR);
}

class ModelsProgramsTest : public ::testing::Test {
 protected:
  ModelsProgramsTest() {
    options_.data_dir = directory_ / "data";
    options_.shipped_models = MakeShippedModels(directory_ / "models");
  }

  void Start() { service_ = std::make_unique<Service>(options_); }

  absl::StatusOr<v1::Model> Import(const std::string& name, const fs::path& file,
                                   const std::string& family = "") {
    v1::ImportModelHeader header;
    header.set_name(name);
    header.set_family(family);
    auto response = client::ImportModelFile(service_->client(), header, file, [](auto, auto) {});
    return response.ok() ? absl::StatusOr<v1::Model>(response->model()) : response.status();
  }

  // The bytes of a picture that `model` has restyled.
  std::string Stylize(const std::string& model) {
    const auto response =
        service_->client().Stylize(StylizeRequestFor(model, MakePicture(90, 70, 1, ".png")));
    EXPECT_TRUE(response.ok()) << response.status() << service_->process().Stderr();
    return response.ok() ? response->results(0).image() : "";
  }

  ProcessResult Atelier(std::vector<std::string> arguments) {
    return RunAtelier(*service_, directory_.path(), std::move(arguments),
                      absl::Minutes(3));  // conversions wait behind all that serves
  }

  // What lies in the data directory besides the models that are there.
  bool NothingIsLeft() const {
    return fs::is_empty(directory_ / "data/transfers") && !service_->Worker(WorkerKind::kConvert);
  }
  std::vector<std::string> PublishedModels() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_ / "data/models")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  TempDir directory_;
  Service::Options options_;
  std::unique_ptr<Service> service_;
};

TEST_F(ModelsProgramsTest, AFileOfTheReferenceIsServed) {
  Start();
  const ProcessResult first =
      Atelier({"models", "import", "monet", Golden("interchange_zip.pth").string(), "--source",
               "a golden file"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(first.out, "monet@1\n");
  // Older layout, other prefix, the same network.
  const auto second = Import("monet", Golden("interchange_old.pth"), "cut");
  ASSERT_TRUE(second.ok()) << second.status() << service_->process().Stderr();
  EXPECT_EQ(second->version(), 2u);
  EXPECT_EQ(second->family(), "cut");
  EXPECT_THAT(second->card(), HasSubstr("interchange_old.pth"));
  const std::string picture = Stylize("monet@1");
  EXPECT_EQ(DecodeInColor(picture).size(), cv::Size(90, 70));
  EXPECT_TRUE(picture == Stylize("monet@2"));
  const ProcessResult show = Atelier({"models", "show", "monet@1"});
  EXPECT_THAT(show.out, AllOf(HasSubstr("cyclegan"), HasSubstr("| source | a golden file |"),
                              HasSubstr("| licence | unknown |")));
  EXPECT_TRUE(NothingIsLeft());

  // It is still there after a restart.
  service_.reset();
  Start();
  EXPECT_TRUE(picture == Stylize("monet@1"));
}

TEST_F(ModelsProgramsTest, WhatIsExportedAndImportedGivesEqualBytes) {
  Start();
  const std::string picture = Stylize("random");
  for (const std::string format : {"safetensors", "pth"}) {
    const std::string file = "random." + format;
    const ProcessResult exported = Atelier({"models", "export", "random", file});
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    EXPECT_THAT(exported.out, HasSubstr("wrote " + file + " (random@1, "));
    const ProcessResult imported = Atelier({"models", "import", "again-" + format, file});
    EXPECT_EQ(imported.out, "again-" + format + "@1\n") << imported.err;
    EXPECT_TRUE(picture == Stylize("again-" + format)) << format;
  }
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(ModelsProgramsTest, ATorchScriptGeneratorIsServed) {
  Start();
  ASSERT_TRUE(Import("network", Golden("interchange_zip.pth")).ok());
  for (const char* file : {"interchange_script.pt", "interchange_trace.pt"}) {
    const auto model = Import("program", Golden(file));
    ASSERT_TRUE(model.ok()) << model.status() << service_->process().Stderr();
    EXPECT_EQ(model->family(), "torchscript");
    cv::Mat difference;
    cv::absdiff(DecodeInColor(Stylize("program")), DecodeInColor(Stylize("network")), difference);
    double largest = 0;
    cv::minMaxLoc(difference.reshape(1), nullptr, &largest);
    EXPECT_LE(largest, 1) << file;
  }
  v1::StylizeRequest request = StylizeRequestFor("program", MakePicture(90, 70, 1));
  request.set_precision(v1::PRECISION_BF16);
  EXPECT_EQ(FieldOf(service_->client().Stylize(request).status()), "precision");
  // A network that was exported as a program is one more.
  EXPECT_EQ(Atelier({"models", "export", "random", "random.pt"}).exit_code, 0);
  EXPECT_TRUE(Import("random-program", directory_ / "random.pt").ok());
  EXPECT_FALSE(Stylize("random-program").empty());
  EXPECT_EQ(Atelier({"models", "export", "program", "program.pth"}).err,
            "atelier: The model is a TorchScript program and exists in that format only; export it "
            "as torchscript.\n");
}

TEST_F(ModelsProgramsTest, BadFilesAreRefusedAndLeaveNothing) {
  Start();
  const std::string pth = ReadFile(Golden("interchange_zip.pth"), 1 << 20).value();
  const auto write = [this](const std::string& name, const std::string& bytes) {
    EXPECT_TRUE(WriteFileAtomically(directory_ / name, bytes).ok());
    return directory_ / name;
  };
  const fs::path code =
      write("code.pth", std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.") +
                            "\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + "cposix\nsystem\n.");
  const struct {
    fs::path file;
    const char* family;
    const char* sentence;
  } cases[] = {
      {code, "", "it asks for posix.system"},
      {write("half.pth", pth.substr(0, pth.size() / 2)), "", "damaged"},
      {write("text.pth", "weights, honestly"), "", "neither safetensors nor"},
      {Golden("state_dict_zip.pth"), "", "belong to no network known here"},
      {Golden("interchange_zip.pth"), "dcgan", "header.family: is \"dcgan\", but the file is a"},
      {Golden("interchange_zip.pth"), "stylegan", "header.family: is none of the families"},
  };
  for (const auto& [file, family, sentence] : cases) {
    const absl::Status status = Import("bad", file, family).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << file << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(sentence));
  }
  EXPECT_TRUE(absl::IsNotFound(service_->client()
                                   .GetModel([] {
                                     v1::GetModelRequest request;
                                     request.set_model("bad");
                                     return request;
                                   }())
                                   .status()));
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_THAT(PublishedModels(), IsEmpty());
  EXPECT_FALSE(Stylize("random").empty());
}

TEST_F(ModelsProgramsTest, AServerThatIsKilledInMidUploadForgetsIt) {
  Start();
  const std::string bytes = ReadFile(Golden("interchange_zip.pth"), 1 << 20).value();
  v1::ImportModelHeader header;
  header.set_name("monet");
  header.set_size(bytes.size());
  header.set_sha256(Sha256Hex(bytes));
  bool sent = false;
  const absl::Status status =
      service_->client()
          .ImportModel(header,
                       [&]() -> absl::StatusOr<std::string> {
                         if (!std::exchange(sent, true)) {
                           return bytes.substr(0, 1000);
                         }
                         EXPECT_TRUE(WaitUntil(
                             [this] { return !fs::is_empty(directory_ / "data/transfers"); }));
                         service_->process().Signal(SIGKILL);
                         service_->process().Wait();
                         return bytes.substr(1000);
                       })
          .status();
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(fs::is_empty(directory_ / "data/transfers"));
  Start();
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_THAT(PublishedModels(), IsEmpty());
  EXPECT_EQ(Import("monet", Golden("interchange_zip.pth"))->version(), 1u);
}

TEST_F(ModelsProgramsTest, AConverterThatIsKilledIsAnErrorAndTheServerGoesOn) {
  Start();
  absl::Status status;
  std::thread import([&] { status = Import("endless", Golden("endless_script.pt")).status(); });
  const pid_t converter = service_->AwaitWorker(WorkerKind::kConvert);
  ::kill(converter, SIGKILL);
  import.join();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("killed by signal 9"));
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_FALSE(Stylize("random").empty());
}

TEST_F(ModelsProgramsTest, AClientThatGivesUpStopsTheConverter) {
  Start();
  client::Client::Options impatient;
  impatient.server = service_->grpc_address();
  impatient.transfer_deadline = absl::Seconds(3);
  const auto client = client::Client::Create(impatient).value();
  v1::ImportModelHeader header;
  header.set_name("endless");
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      client::ImportModelFile(*client, header, Golden("endless_script.pt"), [](auto, auto) {
      }).status()));
  EXPECT_TRUE(WaitUntil([this] { return NothingIsLeft(); }));
  EXPECT_FALSE(Stylize("random").empty());
}

TEST_F(ModelsProgramsTest, AServerThatIsKilledDuringAConversionTakesTheConverterWithIt) {
  Start();
  std::thread import([this] { EXPECT_FALSE(Import("endless", Golden("endless_script.pt")).ok()); });
  const pid_t converter = service_->AwaitWorker(WorkerKind::kConvert);
  service_->process().Signal(SIGKILL);
  import.join();
  EXPECT_TRUE(WaitUntil([&] { return CommandLineOf(converter).empty(); }));
  Start();
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_THAT(PublishedModels(), IsEmpty());
}

}  // namespace
}  // namespace atelier::test
