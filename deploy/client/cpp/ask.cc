// Asks a robo-dialog server whether a robot has done what it was told.
//
//   ask 127.0.0.1:50051 "put the red block into the bowl" front.jpg wrist.jpg
//
// Every image is a frame of one moment; its camera is named by the file. Ends with 0 for SUCCESS, 1 for FAILURE, 2 for
// UNCERTAIN, 3 where there is no verdict.

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "robo_dialog/v1/success_detector.grpc.pb.h"

namespace pb = robo_dialog::v1;

namespace {

constexpr std::chrono::seconds kDeadline{5};
constexpr int kTries = 3;
constexpr std::chrono::milliseconds kPause{200};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string CameraOf(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  return name.substr(0, name.find_last_of('.'));
}

// One question; only a server that cannot be reached is asked again, within the same deadline.
grpc::Status Ask(pb::SuccessDetectorService::Stub& stub, const pb::IsSuccessRequest& request,
                 pb::IsSuccessResponse* response) {
  const auto deadline = std::chrono::system_clock::now() + kDeadline;
  grpc::Status status;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kPause);
    grpc::ClientContext context;
    context.set_deadline(deadline);
    status = stub.IsSuccess(&context, request, response);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) break;
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: " << argv[0] << " ADDRESS INSTRUCTION IMAGE...\n";
    return 3;
  }
  pb::IsSuccessRequest request;
  request.set_instruction(argv[2]);
  try {
    for (int i = 3; i < argc; ++i) {
      pb::Frame* frame = request.add_frames();
      frame->set_image(ReadFile(argv[i]));
      frame->set_camera(CameraOf(argv[i]));
    }
  } catch (const std::runtime_error& error) {
    std::cerr << error.what() << "\n";
    return 3;
  }
  // The server speaks plaintext on loopback alone; elsewhere give grpc::SslCredentials.
  const auto stub =
      pb::SuccessDetectorService::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  pb::IsSuccessResponse response;
  if (const grpc::Status status = Ask(*stub, request, &response); !status.ok()) {
    std::cerr << status.error_code() << ": " << status.error_message() << "\n";
    return 3;
  }
  std::cout << pb::Verdict_Name(response.verdict()) << " " << response.probability() << "\n";
  for (const pb::FrameProbability& one : response.frame_probabilities()) {
    std::cout << "  " << one.camera() << " " << one.probability() << "\n";
  }
  switch (response.verdict()) {
    case pb::VERDICT_SUCCESS: return 0;
    case pb::VERDICT_FAILURE: return 1;
    default: return 2;
  }
}
