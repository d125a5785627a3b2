//! **What happened when we ran this program?**
