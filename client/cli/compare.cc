#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "client/cli/patient_call.h"
#include "client/cli/validators.h"
#include "client/sheet/contact_sheet.h"
#include "client/sheet/jpeg.h"
#include "common/files.h"
#include "common/image_header.h"
#include "nlohmann/json.hpp"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCellsAtATime = 4;
constexpr std::size_t kMostModels = 16;
// Of one sheet; JPEG allows sides of 65,500 pixels.
constexpr std::size_t kMostSheetPixels = 150'000'000;
constexpr std::size_t kMostSheetSide = 60'000;
// What the sheet puts around a cell.
constexpr std::size_t kFrame = 48;

struct CompareOptions {
  std::vector<std::string> inputs;
  std::vector<std::string> models;
  std::string out;
  std::uint32_t size = 384;
  std::optional<std::uint64_t> seed;
  std::string deadline = "60s";
};

// One picture of the sheet.
struct Cell {
  std::size_t picture = 0;
  std::optional<std::size_t> model;  // nullopt: the original
  v1::StylizeResponse response;      // without the picture's bytes
  cv::Mat pixels;
  absl::Status status;
};

// The original comes from the server, too, as the first model's picture of strength 0: turned
// upright, in sRGB and of the size of the others, whatever file it is.
v1::StylizeRequest RequestFor(const CompareOptions& options, const Cell& cell, std::string image) {
  v1::StylizeRequest request;
  request.set_image(std::move(image));
  request.set_model(options.models.at(cell.model.value_or(0)));
  request.set_size(options.size);
  request.set_format(v1::IMAGE_FORMAT_JPEG);
  if (!cell.model.has_value()) {
    request.set_strength(0);
  }
  if (options.seed.has_value()) {
    request.set_seed(*options.seed);
  }
  return request;
}

void MakeCell(const CompareOptions& options, const std::vector<std::string>& images,
              client::Client& client, Cell& cell) {
  const v1::StylizeRequest request = RequestFor(options, cell, images.at(cell.picture));
  absl::StatusOr<v1::StylizeResponse> response = CallPatiently<v1::StylizeResponse>(
      *ParseDeadline(options.deadline),
      [&](absl::Duration left) { return client.Stylize(request, left); });
  if (response.ok() && response->results_size() != 1) {
    response = absl::InternalError("the server sent no picture");
  }
  if (!response.ok()) {
    cell.status = response.status();
    return;
  }
  absl::StatusOr<cv::Mat> pixels = sheet::DecodeJpeg(response->results(0).image());
  cell.status = pixels.status();
  if (pixels.ok()) {
    cell.pixels = *std::move(pixels);
  }
  cell.response = *std::move(response);
  cell.response.mutable_results(0)->clear_image();
}

// Row by row, the original first.
std::vector<Cell> MakeCells(const CompareOptions& options, const std::vector<std::string>& images,
                            client::Client& client) {
  std::vector<Cell> cells;
  for (std::size_t picture = 0; picture < images.size(); ++picture) {
    cells.push_back({.picture = picture});
    for (std::size_t model = 0; model < options.models.size(); ++model) {
      cells.push_back({.picture = picture, .model = model});
    }
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < cells.size(); i = next++) {
      MakeCell(options, images, client, cells[i]);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(kCellsAtATime, cells.size()); ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return cells;
}

std::string VersionName(const Cell& cell) {
  return cell.response.model() + "@" + std::to_string(cell.response.model_version());
}

absl::Status WriteSheet(const CompareOptions& options, const std::vector<Cell>& cells) {
  std::vector<sheet::SheetCell> drawn;
  for (const Cell& cell : cells) {
    const std::string label = cell.model.has_value()
                                  ? VersionName(cell)
                                  : fs::path(options.inputs[cell.picture]).filename().string();
    drawn.push_back({.label = label, .picture = cell.pixels});
  }
  const absl::StatusOr<cv::Mat> made =
      sheet::MakeContactSheet(drawn, {.columns = static_cast<int>(options.models.size()) + 1,
                                      .cell_side = static_cast<int>(options.size)});
  if (!made.ok()) {
    return made.status();
  }
  const absl::StatusOr<std::string> bytes = sheet::EncodeJpeg(*made);
  return bytes.ok() ? WriteFileAtomically(options.out, *bytes) : bytes.status();
}

void Print(Session& session, const CompareOptions& options, const std::vector<Cell>& cells) {
  if (session.output == OutputFormat::kJson) {
    nlohmann::ordered_json pictures = nlohmann::ordered_json::array();
    for (const Cell& cell : cells) {
      if (!cell.model.has_value()) {
        pictures.push_back({{"input", options.inputs[cell.picture]},
                            {"results", nlohmann::ordered_json::array()}});
      } else {
        pictures.back()["results"].push_back({{"model", cell.response.model()},
                                              {"model_version", cell.response.model_version()},
                                              {"request_id", cell.response.request_id()},
                                              {"seconds", cell.response.timings().total()}});
      }
    }
    PrintJson(session, {{"sheet", options.out}, {"pictures", std::move(pictures)}});
    return;
  }
  std::vector<Row> rows;
  for (const Cell& cell : cells) {
    if (cell.model.has_value()) {
      rows.push_back({options.inputs[cell.picture], VersionName(cell), cell.response.request_id()});
    }
  }
  PrintTable(session.out, {"PICTURE", "MODEL", "REQUEST ID"}, rows);
  session.out << "wrote " << options.out
              << "; say what you think: atelier rate REQUEST_ID 1..5 --note \"...\"\n";
}

bool IsJpegName(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg";
}

// What does not fit on a sheet; empty: it does.
std::string Complaint(const CompareOptions& options) {
  if (!IsJpegName(options.out)) {
    return "the sheet is a JPEG: end " + options.out + " in .jpg";
  }
  if (options.models.size() > kMostModels) {
    return "at most " + std::to_string(kMostModels) + " models fit on a sheet";
  }
  const std::size_t width = (options.models.size() + 1) * (options.size + kFrame);
  const std::size_t height = options.inputs.size() * (options.size + kFrame);
  if (width > kMostSheetSide || height > kMostSheetSide || width * height > kMostSheetPixels) {
    return "so many pictures do not fit on a sheet; give fewer, or a smaller --size";
  }
  std::error_code ignored;
  for (const std::string& input : options.inputs) {
    if (fs::equivalent(input, options.out, ignored)) {
      return options.out + " is an input and would be overwritten";
    }
  }
  return "";
}

ExitCode Compare(const CompareOptions& options, Session& session) {
  if (const std::string complaint = Complaint(options); !complaint.empty()) {
    return Misuse(session, complaint);
  }
  std::vector<std::string> images;
  for (const std::string& input : options.inputs) {
    absl::StatusOr<std::string> bytes = ReadFile(input, kMaxImageBytes);
    if (!bytes.ok()) {
      return Fail(session, input + ": " + std::string(bytes.status().message()));
    }
    images.push_back(*std::move(bytes));
  }
  const std::vector<Cell> cells = MakeCells(options, images, session.client);
  for (const Cell& cell : cells) {
    if (!cell.status.ok()) {
      return Fail(session,
                  absl::Status(cell.status.code(), options.inputs[cell.picture] + " with " +
                                                       options.models[cell.model.value_or(0)] +
                                                       ": " + std::string(cell.status.message())));
    }
  }
  if (const absl::Status written = WriteSheet(options, cells); !written.ok()) {
    return Fail(session, written);
  }
  Print(session, options, cells);
  return kDone;
}

}  // namespace

void AddCompare(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App& command =
      *app.add_subcommand("compare", "One sheet of what several models make of the same pictures");
  command.add_option("IN", options->inputs, "The pictures, a row each: JPEG, PNG or WebP files")
      ->required();
  command
      .add_option("--models", options->models,
                  "The models, a column each: NAME, NAME@VERSION or NAME@LABEL, with commas "
                  "between")
      ->required()
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("-o,--out", options->out, "The sheet to write, a .jpg file")->required();
  command.add_option("--size", options->size, "The side of a cell in pixels; default 384")
      ->check(InRange(64, 1024));
  command.add_option("--seed", options->seed, "For models with randomness")->check(IsSeed());
  command.add_option("--deadline", options->deadline, "Of each picture; default 60s")
      ->check(IsDeadline());
  command.footer(
      "Example:\n"
      "  atelier compare dress.jpg shoe.jpg --models oil@stable,oil@4,van-gogh -o sheet.jpg\n"
      "The first column has the pictures as they are. The request ids that it prints (with "
      "--output "
      "json: one\nobject) are for atelier rate.");
  command.callback([options, &chosen] {
    chosen = [options](Session& session) { return Compare(*options, session); };
  });
}

}  // namespace atelier::cli
