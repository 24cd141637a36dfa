#include "tests/client/cli/cli_test.h"

#include <gmock/gmock.h>

#include "common/files.h"

namespace atelier::test {

using ::testing::HasSubstr;
using ::testing::StartsWith;

ProcessOptions CliTest::Atelier(const std::vector<std::string>& arguments) const {
  ProcessOptions options;
  options.command = {ATELIER_BINARY_DIR "/bin/atelier"};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.environment = {
      {"ATELIER_SERVER", server_.address()}, {"TMPDIR", folder_.path().string()}, {"TZ", "UTC"}};
  options.directory = folder_.path().string();
  return options;
}

void CliTest::Write(const std::string& name, const std::string& contents) const {
  ASSERT_TRUE(WriteFileAtomically(folder_ / name, contents).ok());
}

std::string CliTest::Read(const std::string& name) const {
  return ReadFile(folder_ / name, 1 << 20).value_or("");
}

namespace {

TEST_F(CliTest, HelpIsNoErrorAndTeachesByExample) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"stylize"},
                                             {"generate"},
                                             {"models"},
                                             {"models", "list"},
                                             {"models", "show"},
                                             {"models", "import"},
                                             {"models", "export"},
                                             {"models", "load"},
                                             {"models", "unload"},
                                             {"models", "promote"},
                                             {"models", "rollback"},
                                             {"models", "label"},
                                             {"models", "delete"},
                                             {"datasets"},
                                             {"datasets", "create"},
                                             {"datasets", "list"},
                                             {"datasets", "show"},
                                             {"datasets", "upload"},
                                             {"datasets", "import"},
                                             {"datasets", "delete"},
                                             {"train"},
                                             {"jobs"},
                                             {"jobs", "list"},
                                             {"jobs", "artifacts"},
                                             {"jobs", "show"},
                                             {"jobs", "watch"},
                                             {"jobs", "cancel"}}) {
    std::vector<std::string> arguments = command;
    arguments.emplace_back("--help");
    const ProcessResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, HasSubstr("Example"));
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(CliTest, HelpSaysWhereJsonIsOneObjectALine) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"stylize"}, {"train"}, {"jobs", "watch"}}) {
    std::vector<std::string> arguments = command;
    arguments.emplace_back("--help");
    EXPECT_THAT(Run(arguments).out, HasSubstr("one object a line for each"));
  }
}

TEST_F(CliTest, MisuseIsExitCodeTwo) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"models"},
           {"models", "list", "--frobnicate"},
           {"models", "show"},
           {"models", "import", "oil"},
           {"models", "import", "oil", "oil.pth", "--precision", "int3"},
           {"models", "export", "oil"},
           {"models", "load"},
           {"models", "load", "oil", "--warmup-sizes", "big"},
           {"models", "rollback", "oil@2"},
           {"models", "label", "oil@2"},
           {"models", "label", "oil@2", "canary", "--traffic", "1.5"},
           {"models", "label", "oil@2", "canary", "--traffic", "0.5", "--remove"},
           {"models", "delete"},
           {"models", "export", "oil", "oil.onnx"},
           {"models", "export", "oil", "oil"},
           {"models", "export", "oil", "oil.pth", "--format", "onnx"},
           {"--output", "xml", "models", "list"},
           {"--server", "nowhere", "models", "list"},
           {"stylize", "a.jpg", "-o", "b.jpg"},
           {"stylize", "-o", "b.jpg", "--model", "m"},
           {"stylize", "a.jpg", "-o", "b.txt", "--model", "m"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--strength", "7"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--strength", "nan"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--size", "big"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--seed", "-1"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--variations", "9"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--precision", "int3"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--format", "gif"},
           {"stylize", "a.jpg", "-o", "b.jpg", "--model", "m", "--deadline", "soon"},
           {"generate", "-o", "b.png"},
           {"generate", "m"},
           {"generate", "m", "-o", "b.txt"},
           {"generate", "m", "-o", "b.png", "--count", "2"},
           {"generate", "m", "-o", "b/", "--count", "0"},
           {"generate", "m", "-o", "b/", "--count", "9"},
           {"generate", "m", "-o", "b.png", "--size", "5000"},
           {"generate", "m", "-o", "b.png", "--seed", "-1"},
           {"generate", "m", "-o", "b.png", "--truncation", "nan"},
           {"generate", "m", "-o", "no/such/b.png"},
           {"train"}}) {
    const ProcessResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(result.err, StartsWith("atelier: "));
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(CliTest, AServerThatIsNotThereIsAPlainSentence) {
  const ProcessResult result = Run({"models", "list", "--server", "127.0.0.1:1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err,
            "atelier: cannot reach a server at 127.0.0.1:1; is atelier-server running there?\n");
}

TEST_F(CliTest, ModelsListIsATableOrTheResponse) {
  server_.handlers().list_models = [](const v1::ListModelsRequest&) {
    v1::ListModelsResponse response;
    v1::Model& model = *response.add_models();
    model.set_name("van-gogh");
    model.set_version(1);
    model.set_family("faststyle");
    model.set_parameters(143571);
    model.set_weights_bytes(600 << 10);
    model.set_shipped(true);
    return response;
  };
  const ProcessResult text = Run({"models", "list"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("van-gogh  1 "));
  EXPECT_THAT(text.out, HasSubstr("600.0 KiB"));
  const ProcessResult json = Run({"--output", "json", "models", "list"});
  EXPECT_EQ(json.exit_code, 0);
  EXPECT_THAT(json.out, StartsWith(R"({"models":[{"name":"van-gogh","version":1,"labels":[],)"
                                   R"("family":"faststyle","tier":"")"));
  EXPECT_THAT(json.out, HasSubstr(R"("next_page_token":"")"));
}

TEST_F(CliTest, ModelsShowPrintsTheCard) {
  server_.handlers().get_model = [](const v1::GetModelRequest& request) {
    v1::Model model;
    model.set_name(request.model());
    model.set_version(2);
    model.set_card("# Oil\nMade of paintings.");
    return model;
  };
  const ProcessResult result = Run({"models", "show", "oil"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("oil@2\n"));
  EXPECT_THAT(result.out, HasSubstr("# Oil\nMade of paintings.\n"));
}

TEST_F(CliTest, DatasetsListShowsCountsAndLabels) {
  server_.handlers().list_datasets = [](const v1::ListDatasetsRequest&) {
    v1::ListDatasetsResponse response;
    v1::Dataset& dataset = *response.add_datasets();
    dataset.set_name("garments");
    dataset.set_files(300);
    dataset.set_bytes(3 << 20);
    dataset.set_license("CC0-1.0");
    dataset.add_labels("coats");
    dataset.add_labels("dresses");
    return response;
  };
  const ProcessResult result = Run({"datasets", "list"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("garments  300       3.0 MiB  CC0-1.0  coats,dresses\n"));
}

}  // namespace
}  // namespace atelier::test
