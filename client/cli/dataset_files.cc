#include "client/cli/dataset_files.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "client/api/dataset_upload.h"
#include "client/cli/output.h"
#include "client/cli/transfer_bar.h"

namespace atelier::cli {
namespace {

// "added 120 pictures (14.2 MiB) to garments, which has 320 now; 3 were there already", and a line
// for each picture that was left out.
template <typename Response>
ExitCode TellAddition(const Response& response, Session& session) {
  const v1::DatasetAddition& result = response.result();
  if (session.output == OutputFormat::kJson) {
    PrintJson(session, response);
    return kDone;
  }
  session.out << "added " << result.added() << (result.added() == 1 ? " picture (" : " pictures (")
              << BytesText(result.added_bytes()) << ") to " << response.dataset().name()
              << ", which has " << response.dataset().files() << " now";
  if (result.duplicates() > 0) {
    session.out << "; " << result.duplicates() << " were there already";
  }
  if (result.skipped() > 0) {
    session.out << "; " << result.skipped() << " files left out";
  }
  session.out << std::endl;
  for (const std::string& note : result.notes()) {
    session.err << "atelier: left out " << note << '\n';
  }
  return kDone;
}

struct UploadArguments {
  std::string name;
  std::vector<std::string> inputs;
  bool skip_bad = false;
};

ExitCode Upload(const UploadArguments& arguments, Session& session) {
  const absl::StatusOr<client::UploadPlan> plan =
      client::PlanUpload({arguments.inputs.begin(), arguments.inputs.end()}, arguments.skip_bad);
  if (!plan.ok()) {
    return Fail(session, plan.status());
  }
  absl::StatusOr<v1::UploadDatasetResponse> response;
  {
    TransferBar bar(session, "sent; the server looks at the pictures");
    response = client::UploadFiles(session.client, *plan,
                                   {.dataset = arguments.name, .skip_bad = arguments.skip_bad},
                                   [&bar](std::uint64_t done, std::uint64_t total) {
                                     done < total ? bar.Show(done, total) : bar.Wait(1);
                                   });
  }
  if (!response.ok()) {
    return Fail(session, response.status());
  }
  return TellAddition(*response, session);
}

ExitCode ImportFolder(const v1::ImportDatasetRequest& request, Session& session) {
  const absl::StatusOr<v1::ImportDatasetResponse> response = session.client.ImportDataset(request);
  return response.ok() ? TellAddition(*response, session) : Fail(session, response.status());
}

constexpr char kSkipBadHelp[] =
    "Leave out pictures that cannot be read, and name them, instead of refusing all";

}  // namespace

void AddDatasetUpload(CLI::App& datasets, Command& chosen) {
  auto arguments = std::make_shared<UploadArguments>();
  CLI::App& command = *datasets.add_subcommand(
      "upload", "Add pictures of this machine to a data set: all of them, or none");
  command.add_option("NAME", arguments->name, "The data set, which \"create\" has made")
      ->required();
  command
      .add_option("IN", arguments->inputs,
                  "Pictures and folders of pictures, whose sub-folders are the labels; or one "
                  "archive: .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .tar.zst")
      ->required();
  command.add_flag("--skip-bad", arguments->skip_bad, kSkipBadHelp);
  command.footer(
      "Examples:\n"
      "  atelier datasets upload garments photographs/\n"
      "  atelier datasets upload garments dress.jpg coat.png\n"
      "  atelier datasets upload paintings paintings.zip\n"
      "When the connection is lost it goes on by itself; started again within a day, it goes on "
      "from there.\nPictures that the set has already are not added twice.");
  command.callback([arguments, &chosen] {
    chosen = [arguments](Session& session) { return Upload(*arguments, session); };
  });
}

void AddDatasetImport(CLI::App& datasets, Command& chosen) {
  auto name = std::make_shared<std::string>();
  auto folder = std::make_shared<std::string>();
  auto skip_bad = std::make_shared<bool>(false);
  CLI::App& command = *datasets.add_subcommand(
      "import", "Add the pictures of a folder of the server's machine to a data set");
  command.add_option("NAME", *name, "The data set, which \"create\" has made")->required();
  command
      .add_option("FOLDER", *folder,
                  "The folder, as a path below one of the server's --dataset-import-root; its "
                  "sub-folders are the labels")
      ->required();
  command.add_flag("--skip-bad", *skip_bad, kSkipBadHelp);
  command.footer("Example:\n  atelier datasets import garments catalogue/2026");
  command.callback([name, folder, skip_bad, &chosen] {
    chosen = [name, folder, skip_bad](Session& session) {
      v1::ImportDatasetRequest request;
      request.set_name(*name);
      request.set_folder(*folder);
      request.set_skip_bad(*skip_bad);
      return ImportFolder(request, session);
    };
  });
}

}  // namespace atelier::cli
