// What atelier-server and `atelier-worker --role convert` tell each other: the files of one
// conversion between a file of weights and a model's folder. The converter is a process of its own,
// because what it reads comes from strangers: it may be killed at any instant, and what it leaves
// is one folder. Functions block on the disk; thread-safe for different folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "common/weights_format.h"

namespace atelier {

// Names in the folder of a conversion.
inline constexpr char kConvertInput[] = "input";  // of an import: the file of weights
inline constexpr char kConvertModel[] = "model";  // of an import: the model's folder that was made
inline constexpr char kConvertOutput[] = "output";  // of an export: the file that was made

// Makes kConvertModel (model.json, the weights, card.md) of kConvertInput.
struct ImportTask {
  std::string family;                  // empty: read off the file
  std::optional<Precision> precision;  // nullopt: fp32
  // For the card; told by the user, checked by the server.
  std::string file_name;
  std::string sha256;
  std::string source;
  std::string license;
  std::string card;
};

// Makes kConvertOutput of a model's folder.
struct ExportTask {
  std::filesystem::path model;
  WeightsFormat format = WeightsFormat::kSafetensors;
};

struct ConvertTask {
  // Bounds of the process: bytes of memory of its own, and bytes of one file.
  std::uint64_t memory_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::variant<ImportTask, ExportTask> work;
};

// Errors of WriteFileAtomically.
absl::Status WriteConvertTask(const std::filesystem::path& folder, const ConvertTask& task);
// INTERNAL: there is none, or it is malformed.
absl::StatusOr<ConvertTask> ReadConvertTask(const std::filesystem::path& folder);

// How it ended: a status whose sentence a client may see, without its payloads but for the field at
// fault. The converter's last file.
absl::Status WriteConvertOutcome(const std::filesystem::path& folder, const absl::Status& outcome);
// nullopt: there is none; the process did not come so far.
std::optional<absl::Status> ReadConvertOutcome(const std::filesystem::path& folder);

}  // namespace atelier
