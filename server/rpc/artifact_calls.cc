#include "server/rpc/artifact_calls.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/jobs/job_artifacts.h"
#include "server/rpc/paging.h"
#include "server/rpc/threaded_stream.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

constexpr std::size_t kArtifactChunkBytes = 1 << 20;
constexpr char kArtifactList[] = "artifacts";

v1::Artifact ToProto(const JobArtifact& artifact) {
  v1::Artifact proto;
  proto.set_path(artifact.path);
  proto.set_size(artifact.size);
  *proto.mutable_modify_time() = TimeToProto(std::max(artifact.modified, absl::UnixEpoch()));
  proto.set_attempt(artifact.attempt);
  return proto;
}

absl::Status ListArtifacts(const ArtifactRoom& room, const JobManager& jobs,
                           const v1::ListArtifactsRequest& request,
                           v1::ListArtifactsResponse& response) {
  ATELIER_RETURN_IF_ERROR(jobs.GetJob(request.job_id()).status());
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string after, PageKey(kArtifactList, request.page_token()));
  std::vector<JobArtifact> page = ListJobArtifacts(room.jobs_directory, request.job_id(),
                                                   request.all_attempts(), after, size + 1);
  const bool more = page.size() > size;
  page.resize(std::min<std::size_t>(page.size(), size));
  for (const JobArtifact& artifact : page) {
    *response.add_artifacts() = ToProto(artifact);
  }
  if (more) {
    response.set_next_page_token(PageToken(kArtifactList, page.back().path));
  }
  return absl::OkStatus();
}

// Fills `bytes` from the file's present position. False: the file ends before, or the disk fails.
bool ReadFully(const Descriptor& file, std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (count == 0 || (count < 0 && errno != EINTR)) {
      return false;
    }
    done += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  }
  return true;
}

class GetArtifactCall final : public ThreadedStream<v1::GetArtifactResponse> {
 public:
  GetArtifactCall(const ArtifactRoom& room, JobManager& jobs, grpc::CallbackServerContext& context,
                  v1::GetArtifactRequest request)
      : ThreadedStream(room.threads, room.patience, context),
        room_(room),
        jobs_(jobs),
        request_(std::move(request)) {}

 private:
  absl::Status Run() override {
    ATELIER_RETURN_IF_ERROR(jobs_.GetJob(request_.job_id()).status());
    ATELIER_ASSIGN_OR_RETURN(
        const OpenedArtifact opened,
        OpenJobArtifact(room_.jobs_directory, request_.job_id(), request_.path()));
    *message().mutable_header() = ToProto(opened.artifact);
    ATELIER_RETURN_IF_ERROR(WriteMessage());
    std::string chunk;
    for (std::uint64_t left = opened.artifact.size; left > 0; left -= chunk.size()) {
      chunk.resize(std::min<std::uint64_t>(left, kArtifactChunkBytes));
      if (!ReadFully(opened.file, chunk)) {
        return absl::AbortedError("the file got shorter while it was sent; ask for it again");
      }
      message().set_chunk(chunk);
      ATELIER_RETURN_IF_ERROR(WriteMessage());
    }
    return absl::OkStatus();
  }

  const ArtifactRoom& room_;
  JobManager& jobs_;
  const v1::GetArtifactRequest request_;
};

}  // namespace

grpc::ServerUnaryReactor* StartListArtifacts(const ArtifactRoom& room, JobManager& jobs,
                                             grpc::CallbackServerContext& context,
                                             const v1::ListArtifactsRequest& request,
                                             v1::ListArtifactsResponse& response) {
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  // gRPC keeps the reactor, the request and the response until Finish.
  const absl::Status taken = room.threads.Run([&room, &jobs, &request, &response, reactor] {
    reactor->Finish(ToGrpcStatus(ListArtifacts(room, jobs, request, response)));
  });
  if (!taken.ok()) {
    reactor->Finish(ToGrpcStatus(taken));
  }
  return reactor;
}

grpc::ServerWriteReactor<v1::GetArtifactResponse>* StartGetArtifact(
    const ArtifactRoom& room, JobManager& jobs, grpc::CallbackServerContext& context,
    const v1::GetArtifactRequest& request) {
  const auto call = std::make_shared<GetArtifactCall>(room, jobs, context, request);
  call->Begin();
  return call.get();
}

}  // namespace atelier::server
