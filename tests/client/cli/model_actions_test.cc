// `atelier models load`, `unload`, `promote`, `rollback`, `label` and `delete`.
#include <gmock/gmock.h>

#include <string>

#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

v1::Model Oil(std::uint32_t version, std::uint32_t workers = 2) {
  v1::Model model;
  model.set_name("oil");
  model.set_version(version);
  model.set_loaded_workers(workers);
  return model;
}

class ModelActionsTest : public CliTest {};

TEST_F(ModelActionsTest, LoadSaysWhereTheModelIsNow) {
  v1::LoadModelRequest asked;
  server_.handlers().load_model = [&](const v1::LoadModelRequest& request) {
    asked = request;
    v1::LoadModelResponse response;
    *response.mutable_model() = Oil(2);
    return response;
  };
  const ProcessResult text = Run({"models", "load", "--warmup-sizes", "64,512", "oil"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out, "oil@2 is in the memory of 2 workers and kept there\n");
  EXPECT_EQ(asked.model(), "oil");
  EXPECT_THAT(asked.warmup_sizes(), ElementsAre(64U, 512U));
  const ProcessResult json = Run({"--output", "json", "models", "load", "oil"});
  EXPECT_THAT(json.out, StartsWith(R"({"model":{"name":"oil","version":2,)"));
  EXPECT_THAT(json.out, HasSubstr(R"("loaded_workers":2)"));
  EXPECT_EQ(asked.warmup_sizes_size(), 0);
}

TEST_F(ModelActionsTest, AFailureIsTheServersSentence) {
  server_.handlers().load_model =
      [](const v1::LoadModelRequest&) -> absl::StatusOr<v1::LoadModelResponse> {
    return absl::ResourceExhaustedError("The model does not fit into the memory.");
  };
  const ProcessResult text = Run({"models", "load", "oil"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_EQ(text.err, "atelier: The model does not fit into the memory.\n");
  const ProcessResult json = Run({"--output", "json", "models", "load", "oil"});
  EXPECT_THAT(json.out, HasSubstr(R"("code":"RESOURCE_EXHAUSTED")"));
}

TEST_F(ModelActionsTest, UnloadSaysWhoStillHasIt) {
  server_.handlers().unload_model = [](const v1::UnloadModelRequest& request) {
    EXPECT_EQ(request.model(), "oil@1");
    v1::UnloadModelResponse response;
    *response.mutable_model() = Oil(1, 0);
    return response;
  };
  EXPECT_EQ(Run({"models", "unload", "oil@1"}).out, "oil@1 is in the memory of 0 workers\n");
}

TEST_F(ModelActionsTest, PromoteSaysWhatTheNameMeansAndRollbackIsAPromotionOfThePrevious) {
  std::string asked;
  server_.handlers().promote_model = [&](const v1::PromoteModelRequest& request) {
    asked = request.model();
    v1::PromoteModelResponse response;
    *response.mutable_model() = Oil(2);
    response.set_previous_version(asked == "oil@2" ? 1 : 0);
    return response;
  };
  EXPECT_EQ(Run({"models", "promote", "oil@2"}).out,
            "oil means oil@2 now; before, it meant oil@1\n");
  EXPECT_EQ(Run({"models", "rollback", "oil"}).out, "oil means oil@2 now\n");
  EXPECT_EQ(asked, "oil@previous");
}

TEST_F(ModelActionsTest, LabelSetsSharesAndRemoves) {
  v1::SetModelLabelRequest asked;
  server_.handlers().set_model_label = [&](const v1::SetModelLabelRequest& request) {
    asked = request;
    v1::SetModelLabelResponse response;
    *response.mutable_model() = Oil(3);
    return response;
  };
  EXPECT_EQ(Run({"models", "label", "oil@3", "canary", "--traffic", "0.1"}).out,
            "oil@canary means oil@3, and so do 10 % of the requests for oil\n");
  EXPECT_EQ(asked.model(), "oil@3");
  EXPECT_EQ(asked.label(), "canary");
  EXPECT_EQ(asked.traffic(), 0.1);
  EXPECT_EQ(Run({"models", "label", "oil@3", "sale"}).out, "oil@sale means oil@3\n");
  EXPECT_FALSE(asked.has_traffic());
  EXPECT_EQ(Run({"models", "label", "oil@3", "sale", "--remove"}).out,
            "no version of oil has the label sale\n");
  EXPECT_TRUE(asked.remove());
}

TEST_F(ModelActionsTest, DeleteSaysWhatIsGone) {
  server_.handlers().delete_model = [](const v1::DeleteModelRequest& request) {
    EXPECT_EQ(request.model(), "oil@1");
    return v1::DeleteModelResponse();
  };
  EXPECT_EQ(Run({"models", "delete", "oil@1"}).out, "deleted oil@1\n");
  EXPECT_EQ(Run({"--output", "json", "models", "delete", "oil@1"}).out, "{}\n");
}

TEST_F(ModelActionsTest, ShowAndListTellTrafficAndMemory) {
  server_.handlers().get_model = [](const v1::GetModelRequest&) {
    v1::Model model = Oil(3, 1);
    model.set_traffic(0.25);
    model.set_kept(true);
    return model;
  };
  const ProcessResult show = Run({"models", "show", "oil@3"});
  EXPECT_THAT(show.out, HasSubstr("25 %\n"));
  EXPECT_THAT(show.out, HasSubstr("1 worker, kept\n"));
  server_.handlers().list_models = [](const v1::ListModelsRequest&) {
    v1::ListModelsResponse response;
    *response.add_models() = Oil(3);
    return response;
  };
  EXPECT_THAT(Run({"models", "list"}).out, HasSubstr("LABELS  TRAFFIC  LOADED"));
}

}  // namespace
}  // namespace atelier::test
