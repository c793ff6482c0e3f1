# Debian's libraries, and the SDKs inside installed wheels. Nothing is downloaded here: scripts/setup did that.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SNDFILE REQUIRED IMPORTED_TARGET sndfile)
pkg_check_modules(SOXR REQUIRED IMPORTED_TARGET soxr)
pkg_check_modules(LIBAV REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)

# The Python whose packages are the engines' SDKs: of the build of a wheel, the one that it is built with.
if(WHIMBREL_WHEEL)
  set(WHIMBREL_PYTHON "${Python_EXECUTABLE}" CACHE FILEPATH "")
else()
  set(WHIMBREL_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "Python that has onnxruntime and openvino")
endif()
if(NOT EXISTS "${WHIMBREL_PYTHON}")
  message(FATAL_ERROR "no Python at ${WHIMBREL_PYTHON}: run scripts/setup, or configure with -DWHIMBREL_PYTHON=<python>")
endif()
# whimbrel_find_package_folder(NAME): <NAME>_PACKAGE is the folder of an installed Python package, or empty.
function(whimbrel_find_package_folder name)
  execute_process(COMMAND ${WHIMBREL_PYTHON} -c
    "import importlib.util as u; spec = u.find_spec('${name}'); print(spec.submodule_search_locations[0] if spec else '')"
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(TOUPPER ${name} upper)
  set(${upper}_PACKAGE "${folder}" PARENT_SCOPE)
endfunction()
foreach(name IN ITEMS onnxruntime openvino onnx torch)
  whimbrel_find_package_folder(${name})
endforeach()

set(ONNXRUNTIME_ROOT "${PROJECT_SOURCE_DIR}/.deps/onnxruntime" CACHE PATH "Folder with include/onnxruntime_c_api.h")
find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h PATHS ${ONNXRUNTIME_ROOT}/include ${ONNXRUNTIME_ROOT}/include/onnxruntime
  NO_DEFAULT_PATH)
file(GLOB ONNXRUNTIME_LIBRARY ${ONNXRUNTIME_ROOT}/lib/libonnxruntime.so.*.*.*
  ${ONNXRUNTIME_PACKAGE}/capi/libonnxruntime.so.*.*.*)
if(NOT ONNXRUNTIME_INCLUDE_DIR)
  message(FATAL_ERROR "no onnxruntime_c_api.h under ${ONNXRUNTIME_ROOT}: run scripts/setup, or configure with -DONNXRUNTIME_ROOT=<release archive>")
endif()

set(OpenVINO_DIR "${OPENVINO_PACKAGE}/cmake" CACHE PATH "Folder of OpenVINOConfig.cmake")
find_package(OpenVINO QUIET COMPONENTS Runtime ONNX TensorFlowLite)

# libtorch, optional: whimbrel_libtorch where it can be linked. Its wheels before 2.7 were built for libstdc++'s old strings, which
# the rest of whimbrel is not.
set(TORCH_ROOT "${TORCH_PACKAGE}" CACHE PATH "Folder of the torch wheel")
set(libc10 ${TORCH_ROOT}/lib/libc10.so)
if(EXISTS ${TORCH_ROOT}/include/torch/script.h AND EXISTS ${libc10})
  file(STRINGS ${libc10} new_strings REGEX "__cxx11" LIMIT_COUNT 1)
  if(new_strings)
    add_library(whimbrel_libtorch INTERFACE)
    # After the system's own, because the wheel brings the headers, but not the code, of another version of fmt.
    target_compile_options(whimbrel_libtorch INTERFACE "SHELL:-idirafter ${TORCH_ROOT}/include"
      "SHELL:-idirafter ${TORCH_ROOT}/include/torch/csrc/api/include")
    target_compile_definitions(whimbrel_libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
    target_link_libraries(whimbrel_libtorch INTERFACE ${TORCH_ROOT}/lib/libtorch_cpu.so ${libc10})
  else()
    message(STATUS "torch at ${TORCH_ROOT} is built for the old C++ ABI, expected 2.7 or newer: building without TorchScript")
  endif()
else()
  message(STATUS "no torch at ${TORCH_ROOT}: building without TorchScript")
endif()
