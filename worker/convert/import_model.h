// A stranger's file of weights becomes a model's folder. Not thread-safe for one folder. Reads
// untrusted bytes: may need memory up to several times the file's size and, for TorchScript,
// calculate for ever; run it in a process that may be killed.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "common/convert_task.h"

namespace atelier::convert {

// Reads folder/kConvertInput, finds out what it is, writes folder/kConvertModel and loads that the
// way a serving worker does.
//
// A safetensors file that Atelier exported says in its metadata (kModelMetadata) which model it is;
// that is checked like everything else, and its card is kept. Every other state dict is recognised
// by its names and shapes (import_weights.h). Weights are kept in fp32.
//
// `feature_weights`: EfficientNet-Lite0 (.pth), which models of the family "gatys" are tried with.
// INVALID_ARGUMENT, naming the field where one is at fault: not a file of weights; damaged; code in
// it; of no network known here, or wider than model.json may say; values that are not finite;
// another family than told; a precision that the program does not have; see also torchscript.h.
// RESOURCE_EXHAUSTED: disk full, out of memory. UNAVAILABLE: no feature weights. INTERNAL: the
// network fails on a test picture.
absl::Status ImportModel(const ImportTask& task, const std::filesystem::path& folder,
                         const std::filesystem::path& feature_weights);

// The metadata that holds the texts of model.json and of card.md.
inline constexpr char kModelMetadata[] = "atelier_model";
inline constexpr char kCardMetadata[] = "atelier_card";

}  // namespace atelier::convert
