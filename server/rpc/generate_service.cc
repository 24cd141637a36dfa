#include "server/rpc/generate_service.h"

#include <utility>

#include "common/rpc/picture_enums.h"
#include "server/rpc/queued_call.h"

namespace atelier::server {
namespace {

struct GenerateKind {
  using Work = GenerateWork;
  using Outcome = GenerateOutcome;
  using Request = v1::GenerateRequest;
  using Response = v1::GenerateResponse;

  static void Announce(const GenerateWork& work, v1::GenerateResponse& response) {
    const std::size_t count = work.seeds.size();
    for (std::size_t i = 0; i < count; ++i) {
      v1::GeneratedImage& result = *response.add_results();
      result.set_format(ToProto(work.format));
      result.set_seed(work.interpolate_to.has_value() ? work.seeds.front() : work.seeds[i]);
      if (work.interpolate_to.has_value()) {
        result.set_position(static_cast<double>(i) / static_cast<double>(count - 1));
      }
      if (!work.labels.empty()) {
        result.set_label(work.model.classes.at(work.labels[i]));
      }
    }
    for (const std::string& warning : work.warnings) {
      response.add_warnings(warning);
    }
  }

  static void Fill(GenerateOutcome outcome, bool /*cached*/, v1::GenerateResponse& response) {
    int i = 0;
    for (GeneratedPicture& picture : outcome.pictures) {
      v1::GeneratedImage& result = *response.mutable_results(i++);
      result.set_image(std::move(picture.image));
      result.set_width(picture.width);
      result.set_height(picture.height);
    }
  }
};

}  // namespace

grpc::ServerUnaryReactor* GenerateService::Generate(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* response) {
  return QueuedCall<GenerateKind>::Start(desk_, probe_, clock_, admission_, *context, *request,
                                         *response);
}

}  // namespace atelier::server
