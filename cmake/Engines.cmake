# ONNX Runtime's library is opened by path when it is first used: the wheel's file has no link name.
if(ONNXRUNTIME_LIBRARY)
  list(GET ONNXRUNTIME_LIBRARY 0 ONNXRUNTIME_LIBRARY)
endif()
# An installed whimbrel finds all of this beside itself; the build's own program where it was built from.
set(module_folder ${PROJECT_BINARY_DIR})
if(WHIMBREL_WHEEL)
  set(module_folder "")
  set(ONNXRUNTIME_LIBRARY "")
endif()
target_include_directories(whimbrel_engines SYSTEM PRIVATE ${ONNXRUNTIME_INCLUDE_DIR})
target_compile_definitions(whimbrel_engines PRIVATE
  WHIMBREL_VERSION="${PROJECT_VERSION}"
  WHIMBREL_ONNXRUNTIME_LIBRARY="${ONNXRUNTIME_LIBRARY}")
set_source_files_properties(src/core/modules.cc PROPERTIES COMPILE_DEFINITIONS WHIMBREL_MODULE_FOLDER="${module_folder}")

# FFmpeg's reader, likewise (src/audio/ffmpeg_module.h says why).
add_library(whimbrel_ffmpeg MODULE src/audio/ffmpeg_module.cc src/audio/decoder.cc)
target_include_directories(whimbrel_ffmpeg PRIVATE include src)
target_compile_definitions(whimbrel_ffmpeg PRIVATE WHIMBREL_VERSION="${PROJECT_VERSION}")
target_link_libraries(whimbrel_ffmpeg PRIVATE whimbrel_core fmt::fmt PkgConfig::LIBAV)
set_target_properties(whimbrel_ffmpeg PROPERTIES PREFIX "" OUTPUT_NAME whimbrel-ffmpeg
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
add_custom_target(whimbrel_modules)  # what programs need at run time, but not to be built
add_dependencies(whimbrel_modules whimbrel_ffmpeg)

# whimbrel_engine_module(KIND WHEEL_LIBS LIBRARIES...): build/<preset>/whimbrel-KIND.so from src/engines/KIND*_module.cc, so that a
# run that does not need the engine does not pay for loading it. What both sides need is small and compiled twice: a module has no
# way back into the program. WHEEL_LIBS is where the wheel keeps its libraries, seen from site-packages.
function(whimbrel_engine_module kind wheel_libs)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/engines/${kind}*_module.cc)
  add_library(whimbrel_${kind} MODULE ${sources} src/engines/kinds.cc src/engines/shape_checks.cc src/engines/check.cc)
  target_include_directories(whimbrel_${kind} PRIVATE include src)
  target_compile_definitions(whimbrel_${kind} PRIVATE WHIMBREL_VERSION="${PROJECT_VERSION}")
  target_link_libraries(whimbrel_${kind} PRIVATE whimbrel_core fmt::fmt ${ARGN})
  set_target_properties(whimbrel_${kind} PROPERTIES PREFIX "" OUTPUT_NAME whimbrel-${kind}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    INSTALL_RPATH "$ORIGIN/../${wheel_libs}")  # in site-packages/whimbrel
  add_dependencies(whimbrel_modules whimbrel_${kind})
endfunction()

if(OpenVINO_FOUND)
  whimbrel_engine_module(openvino openvino/libs openvino::runtime openvino::frontend::tensorflow_lite)
else()
  message(STATUS "no OpenVINO at ${OpenVINO_DIR}: building without it")
endif()
if(TARGET whimbrel_libtorch)
  whimbrel_engine_module(torchscript torch/lib whimbrel_libtorch nlohmann_json::nlohmann_json)
endif()

# Models with known answers for the tests, made once a build from NumPy and onnx.
if(WHIMBREL_TESTS)
  set(models_stamp ${PROJECT_BINARY_DIR}/test-data/models.stamp)
  add_custom_command(OUTPUT ${models_stamp}
    DEPENDS ${PROJECT_SOURCE_DIR}/tests/data/make_models.py ${PROJECT_SOURCE_DIR}/tests/data/torchscript_models.py
    COMMAND ${WHIMBREL_PYTHON} ${PROJECT_SOURCE_DIR}/tests/data/make_models.py ${PROJECT_BINARY_DIR}/test-data
    COMMAND ${CMAKE_COMMAND} -E touch ${models_stamp} COMMENT "Making test models" VERBATIM)
  add_custom_target(test_models DEPENDS ${models_stamp})
  function(whimbrel_tests_need_models)
    foreach(test IN ITEMS engines_test models_test pipeline_test quantize_test)
      if(TARGET ${test})
        add_dependencies(${test} test_models)
      endif()
    endforeach()
  endfunction()
  cmake_language(DEFER CALL whimbrel_tests_need_models)  # the tests are defined after this file
endif()
