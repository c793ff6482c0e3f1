# whimbrel_onnx: ONNX's protobuf messages, generated from the .proto inside the installed onnx wheel. The lite runtime, linked
# statically: the engines carry protobuf of their own, and no symbol of ours may meet theirs.
find_package(Protobuf REQUIRED)
set(WHIMBREL_ONNX_PROTO "${ONNX_PACKAGE}/onnx-ml.proto" CACHE FILEPATH "onnx-ml.proto of the onnx wheel")
if(NOT EXISTS "${WHIMBREL_ONNX_PROTO}")
  message(FATAL_ERROR "no ${WHIMBREL_ONNX_PROTO}: run scripts/setup, or configure with -DWHIMBREL_ONNX_PROTO=<onnx-ml.proto>")
endif()
get_filename_component(onnx_proto_folder ${WHIMBREL_ONNX_PROTO} DIRECTORY)
set(onnx_generated ${PROJECT_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${onnx_generated})
add_custom_command(OUTPUT ${onnx_generated}/onnx-ml.pb.cc ${onnx_generated}/onnx-ml.pb.h
  COMMAND protobuf::protoc --cpp_out=lite:${onnx_generated} -I ${onnx_proto_folder} ${WHIMBREL_ONNX_PROTO}
  DEPENDS ${WHIMBREL_ONNX_PROTO} COMMENT "Generating ONNX messages" VERBATIM)
add_library(whimbrel_onnx STATIC ${onnx_generated}/onnx-ml.pb.cc)
target_include_directories(whimbrel_onnx SYSTEM PUBLIC ${onnx_generated} ${Protobuf_INCLUDE_DIRS})
target_compile_options(whimbrel_onnx PRIVATE -w)
find_library(PROTOBUF_LITE_STATIC libprotobuf-lite.a REQUIRED)
find_library(PROTOBUF_LITE_SHARED libprotobuf-lite.so REQUIRED)
# Debian's static library cannot go into a shared object. There nothing meets: Python opens its modules without sharing symbols.
set(in_python "$<BOOL:$<TARGET_PROPERTY:WHIMBREL_PYTHON>>")
target_link_libraries(whimbrel_onnx PUBLIC "$<IF:${in_python},${PROTOBUF_LITE_SHARED},${PROTOBUF_LITE_STATIC}>" Threads::Threads)
