//! **What weights does this recipe mean?**
