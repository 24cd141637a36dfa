// Whether a TorchScript archive of a stranger may be loaded and run. Thread-safe.
//
// LibTorch trusts an archive more than it should: a tensor's claimed size is not compared with its
// bytes, an attribute's value not with its type, classes run code while they are loaded
// ("__setstate__", values of constants and of default arguments), and some operators write files.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string_view>

#include "absl/status/status.h"

namespace caffe2::serialize {
class ReadAdapterInterface;
}

namespace atelier::models {

// A view of `bytes` that refuses (c10::Error) to be read beyond its end. `bytes` must outlive it.
std::shared_ptr<caffe2::serialize::ReadAdapterInterface> MemoryArchive(std::string_view bytes);

// To be asked before LibTorch loads the archive; nothing of it is run.
//   - its entries are together no larger than the file and 64 MiB (compressed entries),
//   - every tensor in data.pkl and constants.pkl lies within a storage whose bytes are there, and
//     the pickles name nothing but tensors, lists and the archive's own classes,
//   - its code names no operators but those of torchscript_operators.h and has no "__setstate__".
// INVALID_ARGUMENT: not an archive, or not allowed; the sentence names the operator. DATA_LOSS:
// damaged. Throws c10::Error where the zip file is malformed.
absl::Status CheckTorchScriptArchive(std::string_view bytes);

// To be asked of the loaded module before anything of it is run: every operation of every function
// is in torchscript_operators.h, and every attribute has its type. INVALID_ARGUMENT.
absl::Status CheckTorchScriptModule(const torch::jit::Module& module);

}  // namespace atelier::models
