// A model's folder becomes one file. Not thread-safe for one folder.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "common/convert_task.h"

namespace atelier::convert {

// Writes folder/kConvertOutput:
//   safetensors  the weights by name, with model.json and card.md as metadata, so that ImportModel
//                makes the same model of it; the only format of int8 models;
//   pth          the weights by name, which Python's torch.load reads;
//   TorchScript  the generator as a program, compared with the network (torchscript_export.h); a
//                model that is a program is exported as it came, and only so.
// FAILED_PRECONDITION: the model does not exist in this format. DATA_LOSS: its weights are damaged.
// RESOURCE_EXHAUSTED: disk full, out of memory.
absl::Status ExportModel(const ExportTask& task, const std::filesystem::path& folder);

}  // namespace atelier::convert
