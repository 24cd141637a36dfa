// What atelier-server and `atelier-worker --role convert` tell each other: the files of one
// conversion between a file of weights and a model's folder, or of a checkpoint to one, or of a
// comparison of models. The converter is a process of its own, because the server links no LibTorch
// and what is imported comes from strangers: it may be killed at any instant, and what it leaves is
// one folder. Functions block on the disk; thread-safe for different folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "common/weights_format.h"

namespace atelier {

// Names in the folder of a conversion.
inline constexpr char kConvertInput[] = "input";  // of an import: the file of weights
inline constexpr char kConvertModel[] =
    "model";  // of an import or a publication: the model's folder that was made
inline constexpr char kConvertOutput[] = "output";         // of an export: the file that was made
inline constexpr char kConvertNumbers[] = "numbers.json";  // of a judgement: JudgeNumbers

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

// Makes kConvertModel of a job's checkpoint, as the job itself would have at its end.
struct PublishTask {
  std::string job_id;
  std::string kind;                  // the field of JobSpec.kind: "train", "distil", ...
  std::string config;                // its JSON, for ParseJobConfig
  std::filesystem::path checkpoint;  // step-N; stays there until the process ends
  std::filesystem::path stats;       // stats.jsonl of the checkpoint's attempt; may be missing
  std::filesystem::path content_directory;
  std::filesystem::path style_directory;  // empty: the job has no style set
  std::filesystem::path source_model;     // of a compression; else empty
};

// Measures models on a fixed choice of pictures and writes kConvertNumbers.
struct JudgeTask {
  std::filesystem::path candidate;  // the models' folders
  std::filesystem::path current;    // empty: there is none
  std::filesystem::path content_directory;
  std::filesystem::path style_directory;  // empty: none
  std::vector<std::string> metrics;       // common/train_metrics.h
  int pictures = 32;
  int size = 256;  // pixels
  std::uint64_t seed = 0;
};

// What a JudgeTask found, by metric. One that is no finite number is left out.
struct JudgeNumbers {
  int pictures = 0;
  std::map<std::string, double> candidate;
  std::map<std::string, double> current;
};

struct ConvertTask {
  // Bounds of the process: bytes of memory of its own, and bytes of one file.
  std::uint64_t memory_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::variant<ImportTask, ExportTask, PublishTask, JudgeTask> work;
};

// Errors of WriteFileAtomically.
absl::Status WriteConvertTask(const std::filesystem::path& folder, const ConvertTask& task);
// INTERNAL: there is none, or it is malformed.
absl::StatusOr<ConvertTask> ReadConvertTask(const std::filesystem::path& folder);

// Errors of WriteFileAtomically; INTERNAL: there are none, or they are malformed.
absl::Status WriteJudgeNumbers(const std::filesystem::path& folder, const JudgeNumbers& numbers);
absl::StatusOr<JudgeNumbers> ReadJudgeNumbers(const std::filesystem::path& folder);

// How it ended: a status whose sentence a client may see, without its payloads but for the field at
// fault. The converter's last file.
absl::Status WriteConvertOutcome(const std::filesystem::path& folder, const absl::Status& outcome);
// nullopt: there is none; the process did not come so far.
std::optional<absl::Status> ReadConvertOutcome(const std::filesystem::path& folder);

}  // namespace atelier
