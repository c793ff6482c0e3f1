# What goes into the wheel beside the Python files: site-packages/whimbrel holds _core and the modules that are loaded at run time,
# whimbrel/bin the program.
set(parts _core whimbrel_ffmpeg)
foreach(kind IN ITEMS openvino torchscript)
  if(TARGET whimbrel_${kind})
    list(APPEND parts whimbrel_${kind})
  endif()
endforeach()
install(TARGETS ${parts} LIBRARY DESTINATION whimbrel COMPONENT wheel)
install(TARGETS whimbrel RUNTIME DESTINATION whimbrel/bin COMPONENT wheel)
install(FILES ${PROJECT_BINARY_DIR}/python/whimbrel/_core.pyi DESTINATION whimbrel COMPONENT wheel)
add_custom_target(wheel DEPENDS whimbrel _core_stub ${parts})
