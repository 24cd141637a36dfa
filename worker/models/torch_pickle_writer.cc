#include "worker/models/torch_pickle_writer.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/torch.h>

#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/storage_types.h"

namespace atelier::models {
namespace {

// Our reader, like many, knows no zip64.
constexpr std::uint64_t kMaxBytes = std::uint64_t{2} << 30;

// Opcodes of pickle protocol 2 (Python's Lib/pickletools.py), little-endian arguments.
class PickleText {
 public:
  PickleText() { text_ = "\x80\x02"; }

  PickleText& Raw(std::string_view opcodes) {
    text_ += opcodes;
    return *this;
  }
  PickleText& Global(std::string_view name) {
    text_ += 'c';
    text_ += name;
    text_ += '\n';
    return *this;
  }
  PickleText& String(std::string_view value) {
    text_ += 'X';
    return Bytes(value.size(), 4).Raw(value);
  }
  PickleText& Int(std::int64_t value) {
    if (value >= 0 && value <= std::numeric_limits<std::int32_t>::max()) {
      text_ += 'J';
      return Bytes(static_cast<std::uint64_t>(value), 4);
    }
    text_ += "\x8a\x08";
    return Bytes(static_cast<std::uint64_t>(value), 8);
  }
  PickleText& Tuple(at::IntArrayRef values) {
    if (values.empty()) {
      return Raw(")");
    }
    Raw("(");
    for (const std::int64_t value : values) {
      Int(value);
    }
    return Raw("t");
  }

  const std::string& text() const { return text_; }

 private:
  PickleText& Bytes(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) {
      text_ += static_cast<char>(value >> (8 * i));
    }
    return *this;
  }

  std::string text_;
};

struct Record {
  std::string_view name;
  at::Tensor values;  // contiguous, on the CPU
};

absl::StatusOr<std::vector<Record>> Records(const TensorMap& tensors) {
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined() || !StorageGlobalOf(tensor.scalar_type())) {
      return absl::InvalidArgumentError(
          "A tensor has no value, or a type that a .pth file of ours cannot hold.");
    }
    bytes += tensor.nbytes();
  }
  if (bytes >= kMaxBytes) {
    return absl::InvalidArgumentError(
        "The weights are too large for a .pth file (2 GiB); write safetensors.");
  }
  std::vector<Record> records;
  for (const auto& [name, tensor] : tensors) {
    records.push_back({.name = name, .values = tensor.detach().to(at::kCPU).contiguous()});
  }
  return records;
}

// What torch.save makes of a tensor: a call of _rebuild_tensor_v2(storage, offset, size, stride,
// requires_grad, hooks), its storage a persistent id.
void AppendTensor(PickleText& pickle, const Record& record, const std::string& key) {
  pickle.Global("torch._utils\n_rebuild_tensor_v2").Raw("(");
  pickle.Raw("(").String("storage").Global(*StorageGlobalOf(record.values.scalar_type()));
  pickle.String(key).String("cpu").Int(record.values.numel()).Raw("tQ");
  pickle.Int(0).Tuple(record.values.sizes()).Tuple(record.values.strides());
  pickle.Raw("\x89").Global("collections\nOrderedDict").Raw(")R").Raw("tR");
}

std::string PickleOf(const std::vector<Record>& records) {
  PickleText pickle;
  pickle.Global("collections\nOrderedDict").Raw(")R(");
  for (std::size_t i = 0; i < records.size(); ++i) {
    pickle.String(records[i].name);
    AppendTensor(pickle, records[i], std::to_string(i));
  }
  return pickle.Raw("u.").text();
}

std::string Zipped(const std::vector<Record>& records) {
  std::string bytes;
  caffe2::serialize::PyTorchStreamWriter zip([&bytes](const void* data, std::size_t length) {
    bytes.append(static_cast<const char*>(data), length);
    return length;
  });
  const auto write = [&zip](const std::string& name, std::string_view contents) {
    zip.writeRecord(name, contents.data(), contents.size());
  };
  write("data.pkl", PickleOf(records));
  write(".format_version", "1");
  write(".storage_alignment", "64");
  write("byteorder", "little");
  for (std::size_t i = 0; i < records.size(); ++i) {
    const at::Tensor& values = records[i].values;
    zip.writeRecord("data/" + std::to_string(i), values.const_data_ptr(), values.nbytes());
  }
  zip.writeEndOfFile();
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> SerializeTorchPickle(const TensorMap& tensors) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<Record> records, Records(tensors));
  try {
    return Zipped(records);
  } catch (const c10::Error&) {
    return absl::InternalError("The .pth file could not be put together.");
  }
}

absl::Status WriteTorchPickle(const std::filesystem::path& path, const TensorMap& tensors) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, SerializeTorchPickle(tensors));
  return WriteFileAtomically(path, bytes);
}

}  // namespace atelier::models
