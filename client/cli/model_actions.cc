#include "client/cli/model_actions.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/gate_options.h"
#include "client/cli/output.h"
#include "client/cli/validators.h"

namespace atelier::cli {
namespace {

constexpr char kSizes[] =
    "Pictures of these sides are restyled once after loading, so that no request meets a cold "
    "generator: 16 to 1024 pixels, at most 8 of them with commas between; default what the "
    "configuration says, or 256";

std::string NameAtVersion(const v1::Model& model) {
  return model.name() + "@" + std::to_string(model.version());
}

struct LoadOptions {
  std::string model;
  std::vector<std::uint32_t> sizes;
};

struct PromoteOptions {
  LoadOptions load;
  GateOptions gate;
};

struct LabelOptions {
  std::string model;
  std::string label;
  std::optional<double> traffic;
  bool remove = false;
};

// The response with --output json, else `sentence` of it.
template <typename Response, typename Sentence>
ExitCode Tell(Session& session, const absl::StatusOr<Response>& response,
              const Sentence& sentence) {
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *response);
  } else {
    session.out << sentence(*response) << '\n';
  }
  return kDone;
}

std::string InMemory(const v1::Model& model) {
  return NameAtVersion(model) + " is in the memory of " + std::to_string(model.loaded_workers()) +
         (model.loaded_workers() == 1 ? " worker" : " workers");
}

ExitCode Load(const LoadOptions& options, Session& session) {
  v1::LoadModelRequest request;
  request.set_model(options.model);
  request.mutable_warmup_sizes()->Assign(options.sizes.begin(), options.sizes.end());
  return Tell(session, session.client.LoadModel(request),
              [](const v1::LoadModelResponse& response) {
                return InMemory(response.model()) + " and kept there";
              });
}

ExitCode Unload(const std::string& model, Session& session) {
  v1::UnloadModelRequest request;
  request.set_model(model);
  return Tell(session, session.client.UnloadModel(request),
              [](const v1::UnloadModelResponse& response) { return InMemory(response.model()); });
}

ExitCode Promote(const PromoteOptions& options, Session& session) {
  v1::PromoteModelRequest request;
  request.set_model(options.load.model);
  request.mutable_warmup_sizes()->Assign(options.load.sizes.begin(), options.load.sizes.end());
  request.set_force(options.gate.force);
  if (const auto gate = GateOf(options.gate); gate.has_value()) {
    *request.mutable_gate() = *gate;
  }
  const absl::StatusOr<v1::PromoteModelResponse> promoted = session.client.PromoteModel(request);
  if (!promoted.ok()) {
    return FailWithGate(session, promoted.status());
  }
  return Tell(session, promoted, [&session](const v1::PromoteModelResponse& response) {
    PrintGate(session.err, response.gate());
    const v1::Model& model = response.model();
    std::string sentence = model.name() + " means " + NameAtVersion(model) + " now";
    if (response.previous_version() != 0) {
      sentence +=
          "; before, it meant " + model.name() + "@" + std::to_string(response.previous_version());
    }
    return sentence;
  });
}

ExitCode Label(const LabelOptions& options, Session& session) {
  v1::SetModelLabelRequest request;
  request.set_model(options.model);
  request.set_label(options.label);
  request.set_remove(options.remove);
  if (options.traffic.has_value()) {
    request.set_traffic(*options.traffic);
  }
  return Tell(session, session.client.SetModelLabel(request),
              [&](const v1::SetModelLabelResponse& response) {
                const v1::Model& model = response.model();
                if (options.remove) {
                  return "no version of " + model.name() + " has the label " + options.label;
                }
                std::string sentence =
                    model.name() + "@" + options.label + " means " + NameAtVersion(model);
                if (options.traffic.value_or(0) > 0) {
                  sentence += ", and so do " + NumberText(100 * *options.traffic) +
                              " % of the requests for " + model.name();
                }
                return sentence;
              });
}

ExitCode Delete(const std::string& model, Session& session) {
  v1::DeleteModelRequest request;
  request.set_model(model);
  return Tell(session, session.client.DeleteModel(request),
              [&](const v1::DeleteModelResponse&) { return "deleted " + model; });
}

void AddLoad(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<LoadOptions>();
  CLI::App& command = *models.add_subcommand(
      "load", "Load a version into every worker, warm it, and keep it there");
  command.add_option("MODEL", options->model, "NAME, NAME@VERSION or NAME@LABEL")->required();
  command.add_option("--warmup-sizes", options->sizes, kSizes)
      ->delimiter(',')
      ->allow_extra_args(false);
  command.footer(
      "Example:\n"
      "  atelier models load van-gogh --warmup-sizes 256,1024\n"
      "It returns when all workers have it. Workers that start later load it before they get work, "
      "also after\na restart of the server.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Load(*options, session); };
  });
}

void AddUnload(CLI::App& models, Command& chosen) {
  auto model = std::make_shared<std::string>();
  CLI::App& command =
      *models.add_subcommand("unload", "Drop a version from the memory of all workers");
  command.add_option("MODEL", *model, "NAME, NAME@VERSION or NAME@LABEL")->required();
  command.footer(
      "Example:\n"
      "  atelier models unload van-gogh@1\n"
      "Requests for it that workers have are answered first. It can still be asked for, which "
      "loads "
      "it again.");
  command.callback(
      [model, &chosen] { chosen = [model](Session& session) { return Unload(*model, session); }; });
}

void AddPromote(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<PromoteOptions>();
  CLI::App& command = *models.add_subcommand(
      "promote", "Make a version what the model's name means, without a request that waits");
  command.add_option("MODEL", options->load.model, "NAME@VERSION or NAME@LABEL")->required();
  command.add_option("--warmup-sizes", options->load.sizes, kSizes)
      ->delimiter(',')
      ->allow_extra_args(false);
  AddGateOptions(command, options->gate);
  AddRatingOptions(command, options->gate);
  command.footer(
      "Examples:\n"
      "  atelier models promote van-gogh@2\n"
      "  atelier models promote van-gogh@canary --gate garments --gate-style paintings\n"
      "The version is loaded and warmed, then the label \"stable\" moves to it and \"previous\" to "
      "the one\nbefore, which leaves the memory once its requests are answered. When it does not "
      "load, nothing changes.\nWhat is promoted by --force although the gate is against it says so "
      "in its card.\nThe way back: atelier models rollback van-gogh");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Promote(*options, session); };
  });
}

void AddRollback(CLI::App& models, Command& chosen) {
  auto name = std::make_shared<std::string>();
  CLI::App& command = *models.add_subcommand(
      "rollback", "Promote the version that the last promotion replaced (label \"previous\")");
  command.add_option("NAME", *name, "The model's name")->required();
  command.footer(
      "Example:\n"
      "  atelier models rollback van-gogh\n"
      "A second rollback undoes the first.");
  command.callback([name, &chosen] {
    chosen = [name](Session& session) {
      if (name->find('@') != std::string::npos) {
        return Misuse(session, "rollback takes a model's name; to choose a version, promote it");
      }
      return Promote({.load = {.model = *name + "@previous"}}, session);
    };
  });
}

void AddLabel(CLI::App& models, Command& chosen) {
  auto options = std::make_shared<LabelOptions>();
  CLI::App& command =
      *models.add_subcommand("label", "Point a label at a version, or take it away");
  command.add_option("MODEL", options->model, "NAME@VERSION or NAME@LABEL")->required();
  command
      .add_option("LABEL", options->label, "The label; \"latest\" is always the highest version")
      ->required();
  CLI::Option* traffic =
      command
          .add_option("--traffic", options->traffic,
                      "For the label canary: the share of the requests for the model's name that "
                      "go to it, 0 to 1; default 0")
          ->check(InRange(0, 1));
  command.add_flag("--remove", options->remove, "Take the label away")->excludes(traffic);
  command.footer(
      "Examples:\n"
      "  atelier models load van-gogh@3\n"
      "  atelier models label van-gogh@3 canary --traffic 0.1\n"
      "  atelier models label van-gogh@3 canary --remove\n"
      "  atelier models label van-gogh@2 summer-sale\n"
      "Requests may name a label, as van-gogh@summer-sale. The same request id always goes to the "
      "same side of a\ncanary. To make a version what the name means, promote it: that warms it "
      "first.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Label(*options, session); };
  });
}

void AddDelete(CLI::App& models, Command& chosen) {
  auto model = std::make_shared<std::string>();
  CLI::App& command = *models.add_subcommand("delete", "Delete a version and its files");
  command.add_option("MODEL", *model, "NAME@VERSION")->required();
  command.footer(
      "Example:\n"
      "  atelier models delete van-gogh@1\n"
      "Shipped styles, versions with a label and those that a job starts from are refused. The "
      "number is never\ngiven again.");
  command.callback(
      [model, &chosen] { chosen = [model](Session& session) { return Delete(*model, session); }; });
}

}  // namespace

void AddModelActions(CLI::App& models, Command& chosen) {
  AddLoad(models, chosen);
  AddUnload(models, chosen);
  AddPromote(models, chosen);
  AddRollback(models, chosen);
  AddLabel(models, chosen);
  AddDelete(models, chosen);
}

}  // namespace atelier::cli
