# ONNX Runtime's library is opened by path when it is first used: the wheel's file has no link name.
if(ONNXRUNTIME_LIBRARY)
  list(GET ONNXRUNTIME_LIBRARY 0 ONNXRUNTIME_LIBRARY)
endif()
target_include_directories(whimbrel_engines SYSTEM PRIVATE ${ONNXRUNTIME_INCLUDE_DIR})
target_compile_definitions(whimbrel_engines PRIVATE
  WHIMBREL_VERSION="${PROJECT_VERSION}"
  WHIMBREL_ONNXRUNTIME_LIBRARY="${ONNXRUNTIME_LIBRARY}"
  WHIMBREL_OPENVINO_MODULE="${PROJECT_BINARY_DIR}/whimbrel-openvino.so")

# OpenVINO is a module of its own, so that a run that does not need it does not pay for loading it. What both sides need is small
# and compiled twice: the module has no way back into the program.
if(OpenVINO_FOUND)
  file(GLOB openvino_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/engines/*_module.cc)
  add_library(whimbrel_openvino MODULE ${openvino_sources} src/engines/kinds.cc src/engines/shape_checks.cc)
  target_include_directories(whimbrel_openvino PRIVATE include src)
  target_compile_definitions(whimbrel_openvino PRIVATE WHIMBREL_VERSION="${PROJECT_VERSION}")
  target_link_libraries(whimbrel_openvino PRIVATE whimbrel_core fmt::fmt openvino::runtime openvino::frontend::tensorflow_lite)
  set_target_properties(whimbrel_openvino PROPERTIES PREFIX "" OUTPUT_NAME whimbrel-openvino
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    INSTALL_RPATH "$ORIGIN/../openvino/libs;$ORIGIN/../../../openvino/libs")  # beside the openvino wheel, in a wheel or its bin
  add_dependencies(whimbrel_engines whimbrel_openvino)
else()
  message(STATUS "no OpenVINO at ${OpenVINO_DIR}: building without it")
endif()

# Models with known answers for the tests, made once a build from NumPy and onnx.
if(WHIMBREL_TESTS)
  set(models_stamp ${PROJECT_BINARY_DIR}/test-data/models.stamp)
  add_custom_command(OUTPUT ${models_stamp} DEPENDS ${PROJECT_SOURCE_DIR}/tests/data/make_models.py
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
