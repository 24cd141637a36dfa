#include "server/inference/inference_admission.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "server/admission/controls.h"
#include "server/inference/parameters.h"

namespace atelier::server {
namespace {

// A message to a worker has 64 MiB with all its fields.
constexpr std::size_t kMaxPayload = 63ULL << 20U;
constexpr std::int64_t kChannels = 3;

std::string NamesOf(const std::vector<TensorSpec>& tensors) {
  return absl::StrJoin(tensors, ", ", [](std::string* text, const TensorSpec& tensor) {
    text->append(tensor.name);
  });
}

bool Has(const std::vector<TensorSpec>& tensors, std::string_view name) {
  return std::ranges::find(tensors, name, &TensorSpec::name) != tensors.end();
}

absl::Status CheckOutputs(const inference::ModelInferRequest& request,
                          const std::vector<TensorSpec>& tensors) {
  std::set<std::string_view> names;
  for (const auto& output : request.outputs()) {
    if (!Has(tensors, output.name())) {
      return InvalidField("outputs", absl::StrCat("asks for ", Shown(output.name()),
                                                  "; this model gives ", NamesOf(tensors)));
    }
    if (!names.insert(output.name()).second) {
      return InvalidField("outputs", absl::StrCat("asks for ", output.name(), " twice"));
    }
    for (const auto& [name, value] : output.parameters()) {
      if (name.starts_with("shared_memory_")) {
        return absl::UnimplementedError(
            "Clients and workers share no memory here; outputs come in raw_output_contents.");
      }
      if (name == "classification") {
        return absl::UnimplementedError("No model here classifies.");
      }
      if (name != "content_type" && name != "binary_data") {
        return InvalidField("outputs",
                            absl::StrCat("has a parameter that is not known: ", Shown(name)));
      }
    }
  }
  return absl::OkStatus();
}

// Exactly these, in any order.
absl::Status CheckInputs(const std::vector<InputTensor>& inputs,
                         const std::vector<TensorSpec>& tensors) {
  for (const InputTensor& input : inputs) {
    if (!Has(tensors, input.name)) {
      return InvalidField("inputs", absl::StrCat("has ", Shown(input.name), "; this model takes ",
                                                 NamesOf(tensors)));
    }
  }
  for (const TensorSpec& tensor : tensors) {
    if (std::ranges::find(inputs, tensor.name, &InputTensor::name) == inputs.end()) {
      return InvalidField(
          "inputs", absl::StrCat("lacks ", tensor.name, "; this model takes ", NamesOf(tensors)));
    }
  }
  return absl::OkStatus();
}

// One that CheckInputs has seen.
const InputTensor& Named(const std::vector<InputTensor>& inputs, std::string_view name) {
  return *std::ranges::find(inputs, name, &InputTensor::name);
}

absl::Status CheckBatch(const InputTensor& tensor) {
  return tensor.shape.front() <= kMaxInferenceBatch
             ? absl::OkStatus()
             : InvalidField(tensor.name, absl::StrCat("has the shape ", ShapeText(tensor.shape),
                                                      "; the first dimension is the batch, of 1 "
                                                      "to ",
                                                      kMaxInferenceBatch));
}

// [N] or [N,1] of `datatype`.
absl::Status CheckColumn(const InputTensor& tensor, std::string_view datatype) {
  if (tensor.datatype != datatype) {
    return InvalidField(tensor.name, absl::StrCat("has datatype ", tensor.datatype,
                                                  "; it must have ", std::string(datatype)));
  }
  const bool column =
      tensor.shape.size() == 1 || (tensor.shape.size() == 2 && tensor.shape[1] == 1);
  if (!column) {
    return InvalidField(
        tensor.name, absl::StrCat("has the shape ", ShapeText(tensor.shape), "; it must be [N,1]"));
  }
  return CheckBatch(tensor);
}

absl::StatusOr<PixelLayout> LayoutOf(const InputTensor& image) {
  const auto has_shape = [&image](std::size_t channels_at) {
    return image.shape.size() == 4 && image.shape[channels_at] == kChannels;
  };
  if (image.datatype == "UINT8") {
    if (!has_shape(3)) {
      return InvalidField(image.name, absl::StrCat("has the shape ", ShapeText(image.shape),
                                                   "; UINT8 pixels are [N,H,W,3]"));
    }
    ATELIER_RETURN_IF_ERROR(CheckBatch(image));
    return PixelLayout::kUint8Hwc;
  }
  if (image.datatype == "FP32") {
    if (!has_shape(1)) {
      return InvalidField(image.name, absl::StrCat("has the shape ", ShapeText(image.shape),
                                                   "; FP32 pixels are [N,3,H,W]"));
    }
    ATELIER_RETURN_IF_ERROR(CheckBatch(image));
    return PixelLayout::kFp32Chw;
  }
  if (image.datatype != "BYTES") {
    return InvalidField(image.name,
                        absl::StrCat("has datatype ", image.datatype,
                                     "; it must be BYTES (an encoded picture), UINT8 or FP32"));
  }
  ATELIER_RETURN_IF_ERROR(CheckColumn(image, "BYTES"));
  return PixelLayout::kEncoded;
}

// The pictures of a batch, still together in their tensor.
struct Batch {
  const InputTensor& tensor;
  PixelLayout layout;
  std::vector<std::string_view> encoded;  // of kEncoded

  static absl::StatusOr<Batch> Of(const InputTensor& tensor) {
    ATELIER_ASSIGN_OR_RETURN(const PixelLayout layout, LayoutOf(tensor));
    Batch batch{.tensor = tensor, .layout = layout};
    if (layout == PixelLayout::kEncoded) {
      ATELIER_ASSIGN_OR_RETURN(batch.encoded, StringsOf(tensor));
    }
    return batch;
  }

  // A copy of the one at `place`.
  absl::StatusOr<Picture> At(std::size_t place) const {
    if (layout == PixelLayout::kEncoded) {
      return Picture{.bytes = std::string(encoded[place])};
    }
    const std::size_t count = tensor.elements / static_cast<std::size_t>(tensor.shape.front());
    const bool planes = layout == PixelLayout::kFp32Chw;
    Picture picture{.layout = layout,
                    .width = static_cast<std::uint64_t>(tensor.shape[planes ? 3 : 2]),
                    .height = static_cast<std::uint64_t>(tensor.shape[planes ? 2 : 1])};
    ATELIER_ASSIGN_OR_RETURN(picture.bytes, planes ? UnitFloatsOf(tensor, place * count, count)
                                                   : BytesOf(tensor, place * count, count));
    return picture;
  }
};

// Says which picture it is about, where there are several.
absl::Status AboutPicture(const absl::Status& status, std::size_t place, std::size_t of) {
  const std::optional<std::string> field = FieldOf(status);
  if (of == 1 || (field != kImageTensor && field != kStyleImageTensor)) {
    return status;
  }
  std::string sentence(status.message());
  sentence.erase(0, field->size() + 2);  // "field: "
  return InvalidField(*field, absl::StrCat("picture ", place, " of ", of, " ", sentence));
}

absl::Status AdmitIdentity(const inference::ModelInferRequest& request,
                           const std::vector<InputTensor>& inputs, Inference& out) {
  ATELIER_RETURN_IF_ERROR(RefuseControls(request));
  const InputTensor& input = inputs.front();
  if (input.datatype != "UINT8" || input.shape.size() != 2) {
    return InvalidField(input.name, absl::StrCat("is ", input.datatype, " ", ShapeText(input.shape),
                                                 "; it must be UINT8 [N,bytes]"));
  }
  ATELIER_RETURN_IF_ERROR(CheckBatch(input));
  if (input.elements > kMaxPayload) {
    return InvalidField(input.name, "is too large: it may have 63 MiB");
  }
  IdentityWork work{.request_id = out.request_id};
  ATELIER_ASSIGN_OR_RETURN(work.payload, BytesOf(input, 0, input.elements));
  out.works.emplace_back(std::move(work));
  return absl::OkStatus();
}

// What the request says of the way, and what holds for all of its pictures: one version, whatever
// the name means by the time of the next.
template <typename Controls>
absl::Status SetAllControls(const inference::ModelInferRequest& request, const Inference& out,
                            Controls& controls) {
  ATELIER_RETURN_IF_ERROR(SetControls(request, controls));
  controls.set_model(NameAtVersion(out.model, out.version));
  controls.set_request_id(out.request_id);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Inference> InferenceAdmission::Admit(
    const inference::ModelInferRequest& request) const {
  Inference out;
  if (!request.id().empty()) {
    ATELIER_RETURN_IF_ERROR(AboutField(CheckRequestId(request.id()), "id"));
  }
  out.request_id = request.id().empty() ? make_request_id_() : request.id();
  ATELIER_ASSIGN_OR_RETURN(out.terms, TermsOfInference(request));
  ATELIER_ASSIGN_OR_RETURN(
      const ModelVersion model,
      models_.Resolve(request.model_name(), request.model_version(), out.request_id));
  out.model = model.name;
  out.version = model.version;
  out.kind = KindOf(model);
  const ModelTensors tensors = TensorsOf(model);
  ATELIER_RETURN_IF_ERROR(CheckOutputs(request, tensors.outputs));
  ATELIER_ASSIGN_OR_RETURN(const std::vector<InputTensor> inputs, ReadInputs(request));
  ATELIER_RETURN_IF_ERROR(CheckInputs(inputs, tensors.inputs));
  out.shape = Named(inputs, tensors.inputs.front().name).shape;
  absl::Status status;
  switch (out.kind) {
    case InferenceKind::kStylize:
      status = AdmitStylize(request, inputs, out);
      break;
    case InferenceKind::kGenerate:
      status = AdmitGenerate(request, inputs, out);
      break;
    case InferenceKind::kIdentity:
      status = AdmitIdentity(request, inputs, out);
      break;
  }
  if (!status.ok()) {
    return InInferenceTerms(status);
  }
  return out;
}

absl::Status InferenceAdmission::AdmitStylize(const inference::ModelInferRequest& request,
                                              const std::vector<InputTensor>& inputs,
                                              Inference& out) const {
  v1::StylizeRequest controls;
  ATELIER_RETURN_IF_ERROR(SetAllControls(request, out, controls));
  ATELIER_ASSIGN_OR_RETURN(const Batch pictures, Batch::Of(Named(inputs, kImageTensor)));
  out.layout = pictures.layout;
  const auto count = static_cast<std::size_t>(pictures.tensor.shape.front());
  std::vector<std::string_view> styles;
  if (inputs.size() > 1) {
    const InputTensor& tensor = Named(inputs, kStyleImageTensor);
    ATELIER_RETURN_IF_ERROR(CheckColumn(tensor, "BYTES"));
    ATELIER_ASSIGN_OR_RETURN(styles, StringsOf(tensor));
    if (styles.size() != count) {
      return InvalidField(tensor.name, absl::StrCat("has ", styles.size(), " pictures, and ",
                                                    kImageTensor, " has ", count));
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!styles.empty()) {
      controls.set_style_image(std::string(styles[i]));
    }
    ATELIER_ASSIGN_OR_RETURN(Picture picture, pictures.At(i));
    absl::StatusOr<StylizeWork> work = stylize_.Admit(controls, std::move(picture));
    if (!work.ok()) {
      return AboutPicture(work.status(), i, count);
    }
    out.works.emplace_back(*std::move(work));
  }
  return absl::OkStatus();
}

absl::Status InferenceAdmission::AdmitGenerate(const inference::ModelInferRequest& request,
                                               const std::vector<InputTensor>& inputs,
                                               Inference& out) const {
  v1::GenerateRequest controls;
  ATELIER_RETURN_IF_ERROR(SetAllControls(request, out, controls));
  const InputTensor& tensor = inputs.front();
  ATELIER_RETURN_IF_ERROR(CheckColumn(tensor, "INT64"));
  std::vector<std::uint64_t> seeds;
  for (const std::int64_t seed : IntegersOf(tensor)) {
    if (seed < 0) {
      return InvalidField(tensor.name, "has a negative number; seeds begin at 0");
    }
    seeds.push_back(static_cast<std::uint64_t>(seed));
  }
  ATELIER_ASSIGN_OR_RETURN(GenerateWork work, generate_.Admit(controls, std::move(seeds)));
  out.warnings = work.warnings;
  out.works.emplace_back(std::move(work));
  return absl::OkStatus();
}

}  // namespace atelier::server
