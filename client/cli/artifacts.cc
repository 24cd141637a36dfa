#include "client/cli/artifacts.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "client/api/artifact_file.h"
#include "client/cli/output.h"
#include "client/cli/transfer_bar.h"
#include "common/artifact_path.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

struct ArtifactOptions {
  std::string job_id;
  std::vector<std::string> paths;
  std::string folder;
  bool list = false;
  bool all_attempts = false;
};

// Whether `wanted` names the file itself or a folder that it is in.
bool IsOf(std::string_view path, std::string_view wanted) {
  while (wanted.ends_with('/')) {
    wanted.remove_suffix(1);
  }
  return path == wanted ||
         (path.size() > wanted.size() && path.starts_with(wanted) && path[wanted.size()] == '/');
}

bool IsCheckpoint(std::string_view path) {
  return IsOf(path, "checkpoints") || path.find("/checkpoints/") != std::string_view::npos;
}

// Those of `all` that the arguments name: without names all but the checkpoints when they are to be
// written, which are the largest by far.
absl::StatusOr<v1::ListArtifactsResponse> Choose(const ArtifactOptions& options,
                                                 const v1::ListArtifactsResponse& all) {
  for (const std::string& wanted : options.paths) {
    if (std::ranges::none_of(all.artifacts(), [&](const v1::Artifact& artifact) {
          return IsOf(artifact.path(), wanted);
        })) {
      return absl::NotFoundError("the job \"" + options.job_id + "\" has no file or folder \"" +
                                 wanted + "\"; --list tells what there is");
    }
  }
  v1::ListArtifactsResponse chosen;
  for (const v1::Artifact& artifact : all.artifacts()) {
    const bool named = std::ranges::any_of(
        options.paths, [&](const std::string& path) { return IsOf(artifact.path(), path); });
    if (named || (options.paths.empty() && (options.list || !IsCheckpoint(artifact.path())))) {
      *chosen.add_artifacts() = artifact;
    }
  }
  return chosen;
}

void PrintArtifacts(Session& session, const v1::ListArtifactsResponse& artifacts) {
  std::vector<Row> rows;
  for (const v1::Artifact& artifact : artifacts.artifacts()) {
    rows.push_back({artifact.path(), BytesText(artifact.size()), TimeText(artifact.modify_time()),
                    std::to_string(artifact.attempt())});
  }
  PrintTable(session.out, {"PATH", "SIZE", "WRITTEN", "ATTEMPT"}, rows);
}

absl::StatusOr<v1::Artifact> Fetch(const ArtifactOptions& options, const v1::Artifact& artifact,
                                   Session& session) {
  // Whatever a server says, nothing is written outside the folder.
  if (!CheckArtifactPath("path", artifact.path()).ok()) {
    return absl::DataLossError("the server tells of a file that cannot be called so: \"" +
                               artifact.path() + "\"");
  }
  const fs::path file = fs::path(options.folder) / artifact.path();
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) {
    return absl::InternalError("cannot make the folder \"" + file.parent_path().string() +
                               "\": " + error.message());
  }
  TransferBar bar(session, artifact.path());
  bar.Wait(0);
  return client::FetchArtifact(
      session.client, options.job_id, artifact.path(), file,
      [&bar](std::uint64_t done, std::uint64_t total) { bar.Show(done, total); });
}

ExitCode FetchAll(const ArtifactOptions& options, const v1::ListArtifactsResponse& chosen,
                  Session& session) {
  v1::ListArtifactsResponse fetched;
  for (const v1::Artifact& artifact : chosen.artifacts()) {
    const absl::StatusOr<v1::Artifact> header = Fetch(options, artifact, session);
    if (absl::IsNotFound(header.status()) && options.paths.empty()) {
      continue;  // gone since it was listed
    }
    if (!header.ok()) {
      return Fail(session, header.status());
    }
    *fetched.add_artifacts() = *header;
    if (session.output == OutputFormat::kText) {
      session.out << "wrote " << (fs::path(options.folder) / artifact.path()).string() << " ("
                  << BytesText(header->size()) << ")" << std::endl;
    }
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, fetched);
  }
  return kDone;
}

ExitCode RunArtifacts(ArtifactOptions options, Session& session) {
  options.list = options.list || (options.paths.empty() && options.folder.empty());
  if (options.folder.empty()) {
    options.folder = ".";
  }
  const absl::StatusOr<v1::ListArtifactsResponse> all =
      session.client.ListAllArtifacts(options.job_id, options.all_attempts);
  if (!all.ok()) {
    return Fail(session, all.status());
  }
  const absl::StatusOr<v1::ListArtifactsResponse> chosen = Choose(options, *all);
  if (!chosen.ok()) {
    return Fail(session, chosen.status());
  }
  if (!options.list) {
    return FetchAll(options, *chosen, session);
  }
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, *chosen);
  } else {
    PrintArtifacts(session, *chosen);
  }
  return kDone;
}

}  // namespace

void AddJobArtifacts(CLI::App& jobs, Command& chosen) {
  auto options = std::make_shared<ArtifactOptions>();
  CLI::App& command = *jobs.add_subcommand(
      "artifacts", "List a job's files (samples, curves, report, checkpoints), or fetch them");
  command.add_option("JOB", options->job_id, "The job's id")->required();
  command.add_option("PATH", options->paths,
                     "Files or folders as they are listed; default all but the checkpoints");
  command.add_option("-o,--out", options->folder,
                     "The folder that they are written to, under their paths; default the present "
                     "one");
  command.add_flag("--list", options->list, "List them; the default without PATH and -o");
  command.add_flag("--all-attempts", options->all_attempts,
                   "The files of every attempt, as attempts/N/PATH, instead of the newest of each");
  command.footer(
      "Examples:\n"
      "  atelier jobs artifacts oil-1\n"
      "  atelier jobs artifacts oil-1 report.html -o reports\n"
      "  atelier jobs artifacts oil-1 -o oil-1        (then: tensorboard --logdir oil-1)\n"
      "  atelier jobs artifacts oil-1 checkpoints/step-3000\n"
      "Works while the job runs, too: a file that grows is cut where it ends just then. Each file "
      "is written\nwhole or not at all; one that is there already is replaced.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return RunArtifacts(*options, session); };
  });
}

}  // namespace atelier::cli
