#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/model_actions.h"
#include "client/cli/model_files.h"
#include "client/cli/output.h"

namespace atelier::cli {
namespace {

std::vector<std::string> Words(const google::protobuf::RepeatedPtrField<std::string>& words) {
  return {words.begin(), words.end()};
}

// The first few; a model may know a hundred.
std::string ClassesText(const v1::Model& model) {
  constexpr int kShown = 4;
  std::vector<std::string> words = Words(model.classes());
  if (model.classes_size() > kShown) {
    words.resize(kShown);
    words.emplace_back("...");
  }
  return Join(words, ",");
}

std::string MadeBy(const v1::Model& model) {
  return model.shipped() ? "shipped" : model.job_id().empty() ? "import" : model.job_id();
}

// "90 %" of the requests for the model's name; nothing of none.
std::string TrafficText(const v1::Model& model) {
  return model.traffic() > 0 ? NumberText(100 * model.traffic()) + " %" : "";
}

// "4.2 of 5 ratings"; the card has the rest.
std::string RatingsText(const v1::RatingSummary& ratings) {
  return ratings.count() == 0
             ? ""
             : NumberText(ratings.mean()) + " of " + std::to_string(ratings.count()) +
                   (ratings.count() == 1 ? " rating" : " ratings");
}

std::string MemoryText(const v1::Model& model) {
  const std::string workers =
      std::to_string(model.loaded_workers()) + " worker" + (model.loaded_workers() == 1 ? "" : "s");
  return model.kept() ? workers + ", kept" : workers;
}

ExitCode ListModels(Session& session) {
  const absl::StatusOr<v1::ListModelsResponse> response = session.client.ListAllModels();
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
    return kDone;
  }
  std::vector<Row> rows;
  for (const v1::Model& model : response->models()) {
    rows.push_back({model.name(), std::to_string(model.version()), Join(Words(model.labels()), ","),
                    TrafficText(model), std::to_string(model.loaded_workers()), model.family(),
                    model.tier(), ClassesText(model), std::to_string(model.parameters()),
                    PrecisionText(model.default_precision()), BytesText(model.weights_bytes()),
                    MadeBy(model)});
  }
  PrintTable(session.out,
             {"NAME", "VERSION", "LABELS", "TRAFFIC", "LOADED", "FAMILY", "TIER", "CLASSES",
              "PARAMETERS", "PRECISION", "SIZE", "MADE BY"},
             rows);
  return kDone;
}

ExitCode ShowModel(const std::string& reference, Session& session) {
  v1::GetModelRequest request;
  request.set_model(reference);
  const absl::StatusOr<v1::Model> model = session.client.GetModel(request);
  if (!model.ok()) {
    return Fail(session, model.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *model);
    return kDone;
  }
  PrintEntries(session.out,
               {{"model", model->name() + "@" + std::to_string(model->version())},
                {"labels", Join(Words(model->labels()), ", ")},
                {"traffic", TrafficText(*model)},
                {"in memory", MemoryText(*model)},
                {"family", model->family()},
                {"tier", model->tier()},
                {"capabilities", Join(Words(model->capabilities()), ", ")},
                {"classes", Join(Words(model->classes()), ", ")},
                {"words", Join(Words(model->vocabulary()), ", ")},
                {"parameters", std::to_string(model->parameters())},
                {"default precision", PrecisionText(model->default_precision())},
                {"weights", BytesText(model->weights_bytes())},
                {"sha256", model->weights_sha256()},
                {"shipped", model->shipped() ? "yes" : "no"},
                {"job", model->job_id()},
                {"step", model->job_step() == 0 ? "" : std::to_string(model->job_step())},
                {"ratings", RatingsText(model->ratings())},
                {"created", model->has_create_time() ? TimeText(model->create_time()) : ""}});
  if (!model->card().empty()) {
    session.out << '\n' << model->card() << (model->card().back() == '\n' ? "" : "\n");
  }
  return kDone;
}

}  // namespace

void AddModels(CLI::App& app, Command& chosen) {
  CLI::App& models = *app.add_subcommand(
      "models",
      "Look at the models that can be served, say which versions are, bring your own, take them "
      "elsewhere");
  models.require_subcommand(1);
  models.footer("Example:\n  atelier models list");

  CLI::App& list = *models.add_subcommand("list", "List all versions of all models");
  list.footer("Example:\n  atelier models list --output json");
  list.callback([&chosen] { chosen = ListModels; });

  auto reference = std::make_shared<std::string>();
  CLI::App& show = *models.add_subcommand("show", "Show one model and its card");
  show.add_option("MODEL", *reference, "NAME, NAME@VERSION or NAME@LABEL")->required();
  show.footer("Example:\n  atelier models show van-gogh@1");
  show.callback([reference, &chosen] {
    chosen = [reference](Session& session) { return ShowModel(*reference, session); };
  });

  AddModelActions(models, chosen);
  AddModelImport(models, chosen);
  AddModelExport(models, chosen);
}

}  // namespace atelier::cli
